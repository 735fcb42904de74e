"""`removed`: contributors, or some records of theirs, are taken out of the merge.

However many leave, one new merge state is made. What must hold together (the new state is current,
the contributors are no members, the step is done for each request) is recorded in one transaction;
so a process killed anywhere is run again and ends in the same bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from flows.erasure.approvals import permit
from flows.erasure.request import Request
from flows.erasure.results import Removal, as_details
from flows.erasure.set_aside import setting_aside
from flows.erasure.steps.step import Step
from flows.erasure.withdrawal import finetune_again, replace_dataset
from flows.models.checks import ExactnessError
from flows.models.merge import make_current, stored_state, stored_vector, write_state
from flows.models.merge_plan import altered_state
from flows.models.rebuild import require_no_alarm
from flows.models.verify import require_same_base
from flows.training.base_model import require_base
from flows.training.finetune import require_same_exactness, require_same_settings
from flows.training.rederive import bring_back
from flows.training.retention import settle_vectors
from flows.workspace.current_state import current_state_or_none
from flows.workspace.recorded_file import state_file
from flows.workspace.recorded_files import is_whole, put_vector_back, require_dataset
from flows.workspace.workspace import Workspace
from lineage import (
    DatasetVersionRecord,
    FinetuningRecord,
    LaneCheck,
    Member,
    MergeStateRecord,
    Reader,
    TaskVectorRecord,
)
from sift_core import SiftCoreError, StoredVector

LANE_MODULUS = 2**64


@dataclass(frozen=True)
class _Exchange:
    """What one request changes in the merge: the vector that leaves, one that takes its place."""

    leaves: TaskVectorRecord
    joins: TaskVectorRecord | None


def remove_permitted(requests: Sequence[Request]) -> None:
    """Remove those that may go on.

    Time may have passed since the approval was recorded: a hold, another policy.
    """
    with setting_aside() as aside:
        if permitted := list(aside.each(requests, permit)):
            remove(permitted)


def remove(requests: Sequence[Request]) -> None:
    """S ← S − Σ τ_u by integers, T ← T − 1 for each; of some records, S ← S − τ_u + τ_u', T stays.

    τ_u' is the vector of a contributor's remaining rows. Before the new state is current, its
    linear digest must be the one before plus the change; the old state's file is not touched.
    Where only masks are kept, τ_u is derived again. A request that cannot be made ready, since τ_u
    or τ_u' cannot be had or settings have changed, is set aside, and the state is the one of a run
    without it. Raises SetAsideError for those; AlteredError and ExactnessError where the state
    itself is damaged, RebuiltOtherwiseError where an audit found it to be another sum, UsageError
    where the merge was made with another grid or seed.
    """
    workspace = requests[0].workspace
    with workspace.lineage.reader():  # those within share its opening
        state = current_state_or_none(workspace)
        leaving = _leaving(requests, state)
        if state is not None and leaving:
            require_same_exactness(workspace)
            require_no_alarm(workspace, state)
    if leaving:
        settle_vectors(workspace)
    with setting_aside() as aside:
        ready = aside.each(requests, lambda one: _prepare(one, leaving.get(one.request_id)))
        for request, exchange in ready.items():
            if exchange is None:
                request.done("removed", _no_member(state))
        changes = {request: one for request, one in ready.items() if one is not None}
        if state is not None and changes:
            _change_by_any_way(workspace, state, changes)


def _no_member(state: MergeStateRecord | None) -> Removal:
    if state is None:
        return Removal(was_member=False)
    return Removal(was_member=False, state_before=state.state_sha256)


def _change_by_any_way(
    workspace: Workspace, state: MergeStateRecord, changes: Mapping[Request, _Exchange]
) -> None:
    """Subtract what leaves; where its files are lost, add up who stays: the same bytes."""
    try:
        _change(workspace, state, changes, afresh=False)
    except SiftCoreError:
        # Every file is hashed as it is read, once. Only now is asked which it was.
        if not state_file(workspace, state).is_whole:
            raise altered_state(workspace, state) from None
        damaged = [one.leaves for one in changes.values() if not is_whole(workspace, one.leaves)]
        if not damaged or workspace.keeps_masks_only:
            raise
        lost = [row for row in damaged if not put_vector_back(workspace, row)]
        _change(workspace, state, changes, afresh=bool(lost))


def _leaving(requests: Sequence[Request], state: MergeStateRecord | None) -> dict[str, Member]:
    """The member whose vector was made from what each request withdraws, where there is one."""
    if state is None:
        return {}
    workspace = requests[0].workspace
    with workspace.lineage.reader() as reader:
        members = reader.members(state.state_seq)
    found: dict[str, Member] = {}
    for request in requests:
        runs = {run.run_id for run in request.impact().runs}
        for member in members:
            if member.run_id in runs:
                found[request.request_id] = member
    return found


def _prepare(request: Request, member: Member | None) -> _Exchange | None:
    """What one request alone needs: its vector, and the one in its place. Safe to repeat.

    None where nothing of what it withdraws is in the merge.
    """
    workspace, records = request.workspace, request.record.records
    exchange = None
    if member is not None:
        with workspace.lineage.reader() as reader:
            made, leaves = reader.run(member.run_id), reader.task_vector(member.run_id)
        if records is not None:
            require_same_settings(workspace, made)
            require_base(workspace)
            require_same_base(workspace, made.base_id)
        if workspace.keeps_masks_only:
            require_dataset(workspace, _trained_on(workspace, made))
            bring_back(workspace, [leaves])
        exchange = _Exchange(leaves, None)
    if records is None:
        return exchange
    replace_dataset(workspace, request.key, records)
    return exchange and replace(exchange, joins=finetune_again(workspace, request.key))


def _trained_on(workspace: Workspace, run: FinetuningRecord) -> DatasetVersionRecord:
    with workspace.lineage.reader() as reader:
        versions = reader.dataset_versions(run.contributor_key)
    return next(row for row in versions if row.sha256 == run.dataset_sha256)


def _change(
    workspace: Workspace,
    state: MergeStateRecord,
    changes: Mapping[Request, _Exchange],
    *,
    afresh: bool,
) -> None:
    """Make the state without these vectors, perhaps with others, current; with it the step.

    From the state before, or `afresh` from the vectors of who stays.
    """
    leave = [one.leaves for one in changes.values()]
    join = [one.joins for one in changes.values() if one.joins is not None]
    gone = {row.contributor_key for row in leave}
    with workspace.lineage.reader() as reader:
        before = reader.digest_check(state.state_seq)
        members = reader.members(state.state_seq)
        change = _recorded_change(reader, join, leave)
    stay = [row for row in members if row.contributor_key not in gone]
    wanted = {row.contributor_key: row.run_id for row in stay}
    wanted |= {row.contributor_key: row.run_id for row in join}
    add, subtract = _stored(workspace, join), _stored(workspace, leave)
    if afresh:
        add = [*_stored(workspace, stay), *add]
        written = write_state(workspace, None, add, [], state.base_id, "rebuild")
    else:
        written = write_state(
            workspace,
            stored_state(workspace, state, len(members)),
            add,
            subtract,
            state.base_id,
            "opt-out",
        )
    _require_sum(before, change, [digest.value for digest in written.digests])
    with workspace.lineage.writer() as recorder:
        make_current(recorder, written, wanted)
        now = datetime.now(UTC)
        for request, one in changes.items():
            result = Removal(
                was_member=True,
                vector=_how_it_was_had(one.leaves, afresh=afresh),
                requests=[request.request_id for request in changes],
                state_before=state.state_sha256,
                state_after=written.record.state_sha256,
                members_before=len(members),
                members_after=len(wanted),
                digest_before=[str(lane.state_value) for lane in before],
                digest_of_change=[str(lane) for lane in change],
                digest_after=[str(digest.value) for digest in written.digests],
            )
            recorder.advance(request.request_id, "removed", as_details(result), now)


def _how_it_was_had(
    vector: TaskVectorRecord, *, afresh: bool
) -> Literal["stored", "derived again", "lost"]:
    if afresh:
        return "lost"
    return "derived again" if vector.dropped_at else "stored"


def _stored(workspace: Workspace, rows: Iterable[TaskVectorRecord | Member]) -> list[StoredVector]:
    """Where these vectors and masks are, and what lineage recorded of them."""
    return [
        stored_vector(workspace, row.contributor_key, row.vector_sha256, row.mask_sha256)
        for row in rows
    ]


def _recorded_change(
    reader: Reader, join: Iterable[TaskVectorRecord], leave: Iterable[TaskVectorRecord]
) -> tuple[int, ...]:
    """The linear digest of what joins less what leaves, lane by lane, as lineage recorded it."""

    def lanes(rows: Iterable[TaskVectorRecord]) -> list[int]:
        digests = [reader.linear_digest(row.vector_sha256) for row in rows]
        return [sum(lane.value for lane in own) for own in zip(*digests, strict=True)]

    added, taken = lanes(join), lanes(leave)
    return tuple(
        (more - less) % LANE_MODULUS
        for more, less in zip(added or [0] * len(taken), taken, strict=True)
    )


def _require_sum(before: Sequence[LaneCheck], change: Sequence[int], after: Sequence[int]) -> None:
    expected = [
        ((lane.state_value or 0) + own) % LANE_MODULUS
        for lane, own in zip(before, change, strict=True)
    ]
    if expected != list(after):
        raise ExactnessError(
            f"The digest of the new merge is {list(after)}, that of the old one and of the change "
            f"together is {expected}.",
            remedy="the merge state or a vector is not what lineage recorded: run `sift verify`.",
        )


STEP = Step("removed", remove_permitted)
