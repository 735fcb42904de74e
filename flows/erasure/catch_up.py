"""Removing again whom a restored backup has brought back.

Requests that a workspace's lineage lost with what came after the backup are filed again, with the
approvals they had, and take all steps anew: the state is the one without the contributor, bit for
bit, and what the backup brought is destroyed and looked for once more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flows.erasure.approvals import permit
from flows.erasure.identification import identify
from flows.erasure.policy import deadlines
from flows.erasure.request import Request
from flows.erasure.results import Approval, DoneAgain
from flows.erasure.set_aside import Aside, setting_aside
from flows.erasure.tombstones.places import unknown, withdrawn_again
from flows.erasure.tombstones.tombstone import Departure, DepartureError, file_name_of
from flows.erasure.withdrawal import require_withdrawable
from flows.errors import UsageError
from flows.workspace.keyring import require_signing_key
from flows.workspace.workspace import Workspace
from lineage import ContributorRecord, LikenessRecord, Recorder
from lineage.opt_out import APPROVED


def catch_up(workspace: Workspace, carry_out: Callable[[list[Request]], None]) -> list[Request]:
    """Carry out every departure that is noted and that this workspace does not know.

    Called under the workspace's lock. `carry_out` takes requests through their steps
    (`flows.opt_out.take_steps`). Returns them, ended. Raises SetAsideError, once all others are
    gone again, where one cannot be carried out: it was set aside, the policy of today wants more
    approvals, it is on hold, its note was altered. At once what concerns all.
    """
    with setting_aside() as aside:
        return carry_out_again(workspace, carry_out, aside)


def carry_out_again(
    workspace: Workspace, carry_out: Callable[[list[Request]], None], aside: Aside
) -> list[Request]:
    """The same, with who cannot be carried out set `aside`; all that were filed again."""
    filed: list[Request] = []
    failed: set[str] = set()
    while True:
        altered: list[DepartureError] = []
        waiting = [one for one in unknown(workspace, altered) if one.contributor_key not in failed]
        if not waiting:
            break
        back = [_Back(workspace, departure) for departure in _one_each(waiting)]
        again = aside.each(back, lambda one: _file_again(workspace, one.departure))
        ready = list(aside.each(again.values(), permit))
        if ready:
            require_signing_key(workspace.root)
            with aside.within():
                carry_out(ready)
        filed += again.values()
        failed |= {one.departure.contributor_key for one in back if one not in again}
        failed |= {one.key for one in again.values() if one.request_id in aside.troubles}
    for number, error in enumerate(altered, start=1):
        aside.troubles[f"note {number} of who left"] = error
    return filed


@dataclass(frozen=True)
class _Back:
    """A departure that a restored backup has undone, before it is a request here."""

    workspace: Workspace
    departure: Departure

    @property
    def request_id(self) -> str:
        """What it was then: another request may have that number now."""
        return f"{self.departure.request_id} (of before the restore)"

    def next_step(self) -> None:
        """None: it is no request yet."""


def _one_each(departures: Sequence[Departure]) -> list[Departure]:
    """The first departure of each contributor: a second request waits for the end of the first."""
    first: dict[str, Departure] = {}
    for departure in departures:
        first.setdefault(departure.contributor_key, departure)
    return list(first.values())


def _file_again(workspace: Workspace, departure: Departure) -> Request:
    """The request of a departure with its approvals, filed unless the backup has it open."""
    now = datetime.now(UTC)
    records = _withdrawn(workspace, departure)
    with workspace.lineage.writer() as recorder:
        name = departure.file_name
        known = [row for row in recorder.read.requests() if file_name_of(workspace, row) == name]
        if known:
            request_id = known[0].request_id
        else:
            request_id = _receive(workspace, recorder, departure, records)
        for one in departure.approvals:
            recorder.process.decide(request_id, APPROVED, one.actor, one.reason, one.decided_at)
    request = Request(workspace, request_id)
    if request.next_step() == "identified":
        identify(request)
    if request.next_step() == APPROVED:
        names = [one.actor for one in departure.approvals]
        again = DoneAgain(request=departure.request_id, audit_entry=departure.audit_head.seq)
        request.done(APPROVED, Approval(approved_by=names, again=again), now)
    return request


def _withdrawn(workspace: Workspace, departure: Departure) -> list[str] | None:
    """The records to withdraw again; None: all data.

    All goes, too, where the older rows that came back would be too few without these: a withdrawal
    cannot wait for somebody to decide that.
    """
    if departure.records is None:
        return None
    key = departure.contributor_key
    with workspace.lineage.reader() as reader:
        records = withdrawn_again(workspace, reader, departure)
    try:
        require_withdrawable(workspace, key, key, records)
    except UsageError:
        return None
    return records


def _receive(
    workspace: Workspace, recorder: Recorder, departure: Departure, records: list[str] | None
) -> str:
    policy = workspace.settings.policy
    law = departure.jurisdiction or policy.jurisdiction
    known = {row.contributor_key for row in recorder.read.contributors()}
    if departure.contributor_key not in known:  # who came after the backup, and left
        recorder.add(
            ContributorRecord(
                contributor_key=departure.contributor_key,
                external_id=None,
                added_at=departure.received_at,
            )
        )
        recorder.add_all(
            LikenessRecord(contributor_key=departure.contributor_key, likeness=one)
            for one in departure.likenesses
        )
    request = recorder.receive(
        departure.contributor_key,
        departure.basis,
        departure.received_at,
        records,
        jurisdiction=law,
        filed_by=departure.filed_by,
    )
    recorder.process.set_deadlines(
        request.request_id, deadlines(policy, law, departure.received_at)
    )
    return request.request_id
