"""Taking contributors, or some records of theirs, out of the merge: the steps up to `removed`.

Requests go through a step together: however many leave, one new merge state is made. A step reads
from lineage whether it is done, does its work, and records it. What must hold together (the new
state is current, the contributors are no members, the step is done for each request) is recorded in
one transaction; so a process killed anywhere is run again and ends in the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from flows.finetuning import require_same_exactness, require_same_settings
from flows.keeping import settle_vectors
from flows.merging import (
    current_state_or_none,
    make_current,
    stored_vector,
    write_state,
)
from flows.rederiving import bring_back
from flows.verifying import ExactnessError
from flows.withdrawal import finetune_again, replace_dataset
from flows.workspace import Workspace
from lineage import Impact, LaneCheck, Member, OptOutRequest
from lineage import MergeState as StateRecord

LANE_MODULUS = 2**64


@dataclass(frozen=True)
class Removal:
    """One request on its way through the steps."""

    workspace: Workspace
    request_id: str

    @cached_property
    def request(self) -> OptOutRequest:
        """The request as it was filed."""
        with self.workspace.lineage.reader() as reader:
            return reader.request(self.request_id)

    @property
    def key(self) -> str:
        """The contributor key of the request."""
        return self.request.contributor_key

    def impact(self) -> Impact:
        """Everything that holds, or was made from, what the request withdraws."""
        with self.workspace.lineage.reader() as reader:
            return reader.impact(self.key, self.request.records)

    def next_step(self) -> str | None:
        """The first step that is not done, None when the request has ended."""
        with self.workspace.lineage.reader() as reader:
            return reader.next_step(self.request_id)

    def done(self, step: str, details: dict[str, Any], at: datetime | None = None) -> None:
        """Record a step, done `at` or now."""
        with self.workspace.lineage.writer() as recorder:
            recorder.advance(self.request_id, step, details, at or datetime.now(UTC))


def identify(removals: Sequence[Removal]) -> None:
    """Find, by lineage, everything that was made from what is withdrawn."""
    for removal in removals:
        impact = removal.impact()
        removal.done(
            "identified",
            {
                "datasets": [row.sha256 for row in impact.datasets],
                "task_vectors": [row.vector_sha256 for row in impact.vectors],
                "masks": [row.mask_sha256 for row in impact.vectors],
                "merge_states": [row.state_sha256 for row in impact.states],
                "model_versions": [row.version for row in impact.versions],
            },
        )


def remove(removals: Sequence[Removal]) -> None:
    """S ← S − Σ τ_u by integers, T ← T − 1 for each; of some records, S ← S − τ_u + τ_u', T stays.

    τ_u' is the vector of a contributor's remaining rows. Before the new state is current, its
    linear digest must be the one before plus the change; the old state's file is not touched.
    Where only masks are kept, τ_u is derived again. Raises AlteredError, RederivationError,
    ExactnessError, UsageError where settings have changed meanwhile.
    """
    place = removals[0].workspace
    state = current_state_or_none(place)
    leaving = _leaving(removals, state)
    if leaving:
        require_same_exactness(place)
        settle_vectors(place)
    for removal in removals:
        records = removal.request.records
        if records is None:
            continue
        if removal.request_id in leaving:
            with place.lineage.reader() as reader:
                made = reader.run(leaving[removal.request_id].run_id)
            require_same_settings(place, made)
        replace_dataset(place, removal.key, records)
    for removal in removals:
        if removal.request_id not in leaving:
            before = {"state_before": state.state_sha256} if state else {}
            removal.done("removed", {"was_member": False, **before})
    if state is not None and leaving:
        changed = [removal for removal in removals if removal.request_id in leaving]
        _change(place, state, changed, [leaving[removal.request_id] for removal in changed])


def _leaving(removals: Sequence[Removal], state: StateRecord | None) -> dict[str, Member]:
    """The member whose vector was made from what each request withdraws, where there is one."""
    if state is None:
        return {}
    place = removals[0].workspace
    with place.lineage.reader() as reader:
        members = reader.members(state.state_seq)
    found: dict[str, Member] = {}
    for removal in removals:
        runs = {run.run_id for run in removal.impact().runs}
        for member in members:
            if member.run_id in runs:
                found[removal.request_id] = member
    return found


def _change(
    place: Workspace, state: StateRecord, removals: Sequence[Removal], leaving: Sequence[Member]
) -> None:
    """Make the state without these vectors, perhaps with others, current; with it the step."""
    with place.lineage.reader() as reader:
        members = {row.contributor_key: row.run_id for row in reader.members(state.state_seq)}
        before = reader.digest_check(state.state_seq)
        recorded = [reader.task_vector(member.run_id) for member in leaving]
    if place.keeps_masks_only:
        bring_back(place, recorded)
    count = len(members)
    subtract = [
        stored_vector(place, row.contributor_key, row.vector_sha256, row.mask_sha256)
        for row in leaving
    ]
    add = []
    for removal in removals:
        del members[removal.key]
        if removal.request.records is not None:
            joining = finetune_again(place, removal.key)
            members[removal.key] = joining.run_id
            add.append(
                stored_vector(place, removal.key, joining.vector_sha256, joining.mask_sha256)
            )
    written = write_state(place, state, add, subtract, state.base_id, "opt-out")
    _require_sum(before, written.change, [digest.value for digest in written.digests])
    details = {
        "was_member": True,
        "state_before": state.state_sha256,
        "state_after": written.record.state_sha256,
        "members_before": count,
        "members_after": len(members),
        "digest_before": [str(lane.state_value) for lane in before],
        "digest_of_change": [str(lane) for lane in written.change],
        "digest_after": [str(digest.value) for digest in written.digests],
        "requests": [removal.request_id for removal in removals],
    }
    with place.lineage.writer() as recorder:
        make_current(recorder, written, members)
        now = datetime.now(UTC)
        for removal, vector in zip(removals, recorded, strict=True):
            how = "derived again" if vector.dropped_at else "stored"
            recorder.advance(removal.request_id, "removed", {**details, "vector": how}, now)


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
