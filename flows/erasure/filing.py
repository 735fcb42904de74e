"""Filing a request, and what whoever withdraws is told on its way.

Deadlines count from receipt. They are fixed in lineage when a request is filed or put off, so a
later change of the policy moves no deadline of an older request.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Literal

from flows.data.look_alikes import unknown_contributor
from flows.erasure.policy import deadlines, extended_answer, jurisdiction_of
from flows.erasure.withdrawal import require_withdrawable
from flows.errors import UsageError
from flows.workspace.texts import (
    MAX_BASIS_LENGTH,
    MAX_NAME_LENGTH,
    login_name,
    require_nameless,
    require_person,
    require_text,
)
from flows.workspace.times import require_past, shown, zone
from flows.workspace.workspace import Workspace
from lineage import DeadlineStatus, NoticeRecord, RequestRecord


def receive(
    workspace: Workspace,
    external_id: str,
    basis: str,
    records: Collection[str] | None = None,
    *,
    jurisdiction: str | None = None,
    filed_by: str | None = None,
    received_at: datetime | None = None,
) -> RequestRecord:
    """File an opt-out request: of a contributor, or of the records with these hashes.

    `filed_by` is who files it here (None: the login name), `received_at` when it came in (None:
    now); deadlines count from there. A clock that is up to five minutes ahead of ours means now.
    Raises UsageError for an unknown contributor, record or jurisdiction, for a request that is open
    or done already, for no basis, for a future receipt, and where too few rows would be left; then
    nothing has changed.
    """
    key = workspace.key_of(external_id)
    return _file(
        workspace,
        key,
        external_id,
        external_id,
        basis,
        records,
        jurisdiction,
        filed_by or login_name(),
        received_at,
    )


def receive_by_key(
    workspace: Workspace,
    key: str,
    basis: str,
    records: Collection[str] | None = None,
    *,
    jurisdiction: str | None = None,
    filed_by: str,
    received_at: datetime | None = None,
) -> RequestRecord:
    """File a request of the contributor with this key, as `receive` does.

    For where the id must not be seen: no error says it, nor repeats a key that is nobody's, which
    may be an id by mistake.
    """
    with workspace.lineage.reader() as reader:
        names = {row.contributor_key: row.external_id for row in reader.contributors()}
    if key not in names:
        raise UsageError(
            "No contributor of this workspace has this key.",
            remedy="`sift contributors list` shows the keys; nothing was filed.",
        )
    return _file(
        workspace, key, names[key], key, basis, records, jurisdiction, filed_by, received_at
    )


def _file(
    workspace: Workspace,
    key: str,
    external_id: str | None,
    shown: str,
    basis: str,
    records: Collection[str] | None,
    jurisdiction: str | None,
    by: str,
    received_at: datetime | None,
) -> RequestRecord:
    """File a request; errors call the contributor what is `shown`."""
    now = datetime.now(UTC)
    require_text("basis", basis, MAX_BASIS_LENGTH)
    require_text("name", by, MAX_NAME_LENGTH)
    require_nameless([external_id] if external_id else [], basis, by)
    policy = workspace.settings.policy
    law = jurisdiction_of(policy, basis, jurisdiction)
    received = require_past(received_at or now, now)
    with workspace.lock():
        _require_requestable(workspace, key, shown, received)
        if records is not None:
            require_withdrawable(workspace, key, shown, records)
        with workspace.lineage.writer() as recorder:
            request = recorder.receive(key, basis, received, records, jurisdiction=law, filed_by=by)
            recorder.process.set_deadlines(request.request_id, deadlines(policy, law, received))
            return request


def _require_requestable(workspace: Workspace, key: str, shown: str, received: datetime) -> None:
    with workspace.lineage.reader() as reader:
        known = {row.contributor_key for row in reader.contributors()}
        standing = reader.process.standing_requests(key)
        waiting = next((row for row in standing if reader.next_step(row.request_id)), None)
        consents = reader.process.consents(key)
        if key not in known:
            raise unknown_contributor(workspace, reader, shown)
    if waiting is not None:
        raise UsageError(
            f"Contributor {shown!r} has a request that is not done: {waiting.request_id}.",
            remedy=f"see how far it is with `sift opt-out status {waiting.request_id}`.",
        )
    if whole := [row for row in standing if row.records is None]:
        raise UsageError(
            f"Contributor {shown!r} has opted out already: {whole[-1].request_id}.",
            remedy=f"see it with `sift opt-out status {whole[-1].request_id}`.",
        )
    if consents and received <= consents[-1].given_at:
        raise UsageError(
            f"Contributor {shown!r} came back by new consent on "
            f"{consents[-1].given_at:%Y-%m-%d %H:%M} UTC, after this request.",
            remedy="ask them: a request from after that moment stands, where --received says its "
            "time with the offset, and not only its day.",
        )


def acknowledge(workspace: Workspace, request_id: str, by: str, reason: str) -> None:
    """Record that whoever withdraws was told that the request came in. The first time stands."""
    _notify(workspace, request_id, "acknowledged", by, reason)


def extend(workspace: Workspace, request_id: str, by: str, reason: str) -> datetime:
    """Record that whoever withdraws was told why the answer takes longer; the new deadline.

    Raises UsageError where the law knows no extension, where the request was extended before, and
    once the first deadline has passed: notice had to be given by then.
    """
    with workspace.lineage.reader() as reader:
        request = reader.request(request_id)
        due = {row.kind: row for row in reader.process.deadlines(request_id)}
    policy = workspace.settings.policy

    def until(row: DeadlineStatus) -> str:
        return shown(row.due_at, zone(policy.time_zone))

    if "extended answer" in due:
        raise UsageError(
            f"{request_id} was put off already, to {until(due['extended answer'])}.",
            remedy="answer by then: the law knows one extension.",
        )
    if "answer" in due and due["answer"].state == "overdue":
        raise UsageError(
            f"The answer to {request_id} was due by {until(due['answer'])}: it can "
            "no longer be put off.",
            remedy=f"answer at once: `sift opt-out run {request_id}`.",
        )
    law = request.jurisdiction or policy.jurisdiction
    later = extended_answer(policy, law, request.received_at)
    _notify(workspace, request_id, "extended", by, reason, later)
    return later


def _notify(
    workspace: Workspace,
    request_id: str,
    kind: Literal["acknowledged", "extended"],
    by: str,
    reason: str,
    later: datetime | None = None,
) -> None:
    with workspace.lineage.reader() as reader:
        key = reader.request(request_id).contributor_key
        ended = reader.next_step(request_id) is None
    require_person(workspace, key, by, reason)
    if ended:
        raise UsageError(
            f"{request_id} has ended.", remedy=f"see `sift opt-out status {request_id}`."
        )
    notice = NoticeRecord(
        request_id=request_id, kind=kind, actor=by, reason=reason, sent_at=datetime.now(UTC)
    )
    with workspace.lineage.writer() as recorder:
        recorder.process.notify(notice)
        if later is not None:
            recorder.process.set_deadlines(request_id, [("extended answer", later)])
