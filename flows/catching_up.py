"""Removing again whom a restored backup has brought back.

Requests that a workspace's lineage lost with what came after the backup are filed again, with the
approvals they had, and take all steps anew: the state is the one without the contributor, bit for
bit, and what the backup brought is destroyed and looked for once more.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from flows.certificates import require_signing_key
from flows.decisions import require_permission
from flows.departures import Departure, file_name_of
from flows.errors import UsageError
from flows.ledgers import unknown, withdrawn_again
from flows.policy import deadlines
from flows.removal import Removal, identify
from flows.withdrawal import require_withdrawable
from flows.workspace import Workspace
from lineage import Contributor, Recorder
from lineage.opt_out import APPROVED


def catch_up(workspace: Workspace, carry_out: Callable[[list[Removal]], None]) -> list[Removal]:
    """Carry out every departure that is noted and that this workspace does not know.

    Called under the workspace's lock. `carry_out` takes requests through their steps
    (`flows.opt_out.take_steps`). Returns them, ended. Raises NotApprovedError where the policy of
    today wants more approvals, OnHoldError, and all that an opt-out raises.
    """
    done: list[Removal] = []
    while departures := _one_each(unknown(workspace)):
        removals = [_file_again(workspace, departure) for departure in departures]
        require_permission(workspace, [removal.request_id for removal in removals])
        require_signing_key(workspace)
        carry_out(removals)
        done += removals
    return done


def _one_each(departures: Sequence[Departure]) -> list[Departure]:
    """The first departure of each contributor: a second request waits for the end of the first."""
    first: dict[str, Departure] = {}
    for departure in departures:
        first.setdefault(departure.contributor_key, departure)
    return list(first.values())


def _file_again(workspace: Workspace, departure: Departure) -> Removal:
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
            recorder.decide(request_id, APPROVED, one.actor, one.reason, one.decided_at)
    removal = Removal(workspace, request_id)
    if removal.next_step() == "identified":
        identify([removal])
    if removal.next_step() == APPROVED:
        names = [one.actor for one in departure.approvals]
        again = {"request": departure.request_id, "audit_entry": departure.audit_head.seq}
        removal.done(APPROVED, {"approved_by": names, "again": again}, now)
    return removal


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
            Contributor(
                contributor_key=departure.contributor_key,
                external_id=None,
                added_at=departure.received_at,
            )
        )
    request = recorder.receive(
        departure.contributor_key,
        departure.basis,
        departure.received_at,
        records,
        jurisdiction=law,
        filed_by=departure.filed_by,
    )
    recorder.set_deadlines(request.request_id, deadlines(policy, law, departure.received_at))
    return request.request_id
