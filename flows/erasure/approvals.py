"""Approving, rejecting and holding: what a request needs before anything that cannot be undone.

Each decision is one transaction in lineage, and lineage alone is believed: a form in Prefect and a
command write the same row, and both are read again right before each destructive step. None of them
takes the workspace's lock: a hold must be possible while a purge is running.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from flows.erasure.identification import identify
from flows.erasure.policy import approval_rule
from flows.erasure.request import Request, open_requests
from flows.erasure.results import Approval
from flows.errors import FlowError, UsageError, WaitingError
from flows.workspace.texts import require_person
from flows.workspace.workspace import Workspace
from lineage import HoldRecord, Reader
from lineage.opt_out import APPROVED, REJECTED


class NotApprovedError(WaitingError):
    """What cannot be undone waits for somebody to approve it."""


class OnHoldError(WaitingError):
    """The law forbids for now to destroy what was withdrawn."""


def approve(workspace: Workspace, request_id: str, by: str, reason: str) -> int:
    """Approve a request; return how many more persons must. 0: it may run.

    What lineage finds is recorded first, so that something definite is approved. Raises UsageError
    for a person whose approval does not count by the policy, OptOutOrderError after the end.
    """
    request = _deciding(workspace, request_id, by, reason)
    if request.next_step() == "identified":
        identify(request)
    with workspace.lineage.writer() as recorder:
        recorder.process.decide(request_id, APPROVED, by, reason, datetime.now(UTC))
        missing = _missing(workspace, recorder.read, request_id)
    if missing == 0:
        record_approval(request)
    return missing


def reject(workspace: Workspace, request_id: str, by: str, reason: str) -> None:
    """End a request without fulfilling it; nothing of the contributor changes.

    Raises UsageError for a person who may not decide, OptOutOrderError once the contributor is
    removed, or after another end.
    """
    _deciding(workspace, request_id, by, reason)
    now = datetime.now(UTC)
    with workspace.lineage.writer() as recorder:
        recorder.process.decide(request_id, REJECTED, by, reason, now)
        recorder.reject(request_id, reason, now)


def place_hold(workspace: Workspace, key: str, by: str, reason: str) -> HoldRecord:
    """Forbid to destroy a contributor's data. Raises LineageConflictError while a hold stands."""
    require_person(workspace, key, by, reason)
    with workspace.lineage.writer() as recorder:
        return recorder.process.place_hold(key, by, reason, datetime.now(UTC))


def release_hold(workspace: Workspace, key: str, by: str, reason: str) -> None:
    """End the hold on a contributor's data. Raises LineageNotFoundError where none stands."""
    require_person(workspace, key, by, reason)
    with workspace.lineage.writer() as recorder:
        recorder.process.release_hold(key, by, reason, datetime.now(UTC))


def obstacle(workspace: Workspace, request_id: str) -> FlowError | None:
    """What stands in the way of a request by policy or law, None where it may run.

    NotApprovedError or OnHoldError, to be raised or shown. Read afresh from lineage: an approval
    counts only while the policy of today says so.
    """
    with workspace.lineage.reader() as reader:
        request = reader.request(request_id)
        hold = reader.process.standing_hold(request.contributor_key)
        missing = _missing(workspace, reader, request_id)
    if hold is not None:
        return OnHoldError(
            f"{request_id} is under legal hold since {hold.placed_at:%Y-%m-%d}, placed by "
            f"{hold.placed_by}: {hold.reason}.",
            remedy=f"when it ends: `sift opt-out release {request.contributor_key} --by NAME "
            "--reason TEXT`.",
        )
    if missing:
        more = "more " if missing < workspace.settings.policy.persons else ""
        who = f"{missing} {more}person{'s' if missing > 1 else ''}"
        return NotApprovedError(
            f"{request_id} waits for the approval of {who}.",
            remedy=f"see what it would destroy with `sift opt-out plan {request_id}`, then `sift "
            f"opt-out approve {request_id} --by NAME --reason TEXT`.",
        )
    return None


def require_permission(workspace: Workspace, request_ids: Iterable[str]) -> None:
    """Raise NotApprovedError or OnHoldError unless all these requests may go on.

    Asked at the start and again right before each step that cannot be undone.
    """
    for request_id in request_ids:
        if found := obstacle(workspace, request_id):
            raise found


def permit(request: Request) -> None:
    """Raise NotApprovedError or OnHoldError unless this request may go on."""
    require_permission(request.workspace, [request.request_id])


def record_approval(request: Request) -> None:
    """Record the step `approved`, with who approved; safe to repeat."""
    with request.workspace.lineage.reader() as reader:
        rows = reader.process.approvals(request.request_id)
    names = [row.actor for row in rows if row.decision == APPROVED]
    request.done("approved", Approval(approved_by=names))


def _deciding(workspace: Workspace, request_id: str, by: str, reason: str) -> Request:
    """The request, once it is clear that this person may decide on it."""
    request = Request(workspace, request_id)
    require_person(workspace, request.key, by, reason)
    refusal = approval_rule(workspace.settings.policy).refusal(by, request.record.filed_by)
    if refusal is not None:
        raise UsageError(
            f"{by!r} {refusal}.",
            remedy="somebody else must decide; policy in params.yaml says who may.",
        )
    return request


def _missing(workspace: Workspace, reader: Reader, request_id: str) -> int:
    request, rows = reader.request(request_id), reader.process.approvals(request_id)
    rule = approval_rule(workspace.settings.policy)
    return rule.missing([row.actor for row in rows if row.decision == APPROVED], request.filed_by)


def ready(workspace: Workspace) -> list[str]:
    """The open requests that are approved and under no legal hold, oldest first."""
    return [name for name in open_requests(workspace) if obstacle(workspace, name) is None]
