"""Taking one contributor, or some records of theirs, out: each step up to `registered`.

A step reads from lineage whether it is done, does its work, and records it. What must hold
together (the new state is current, the contributor is no member, the step is done) is recorded in
one transaction; so a process killed anywhere is run again and ends in the same bytes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from flows.errors import UsageError
from flows.evaluating import aggregate, evaluate_state, write_metrics
from flows.finetuning import require_same_exactness, require_same_settings
from flows.keeping import drop_joined, settle_vectors
from flows.merging import (
    current_state_or_none,
    make_current,
    stored_vector,
    write_state,
)
from flows.rederiving import bring_back
from flows.registering import promote, register
from flows.verifying import ExactnessError, verify_state
from flows.withdrawal import finetune_again, replace_dataset, require_withdrawable
from flows.workspace import Workspace
from lineage import DatasetVersion, Evaluation, Impact, LaneCheck, Member, OptOutRequest, TaskVector
from lineage import MergeState as StateRecord

LANE_MODULUS = 2**64
MAX_BASIS_LENGTH = 200
_NOTHING_BUILT = {"nothing_built": True}


def receive(
    workspace: Workspace, external_id: str, basis: str, records: Collection[str] | None = None
) -> OptOutRequest:
    """File an opt-out request: of a contributor, or of the records with these hashes.

    Raises UsageError for an unknown contributor or record, for no basis, and where too few rows
    would be left; then nothing has changed.
    """
    if not basis.strip() or len(basis) > MAX_BASIS_LENGTH:
        raise UsageError(
            f"The basis has {len(basis.strip())} characters, not 1 to {MAX_BASIS_LENGTH}.",
            remedy="name the right the request rests on, such as --basis gdpr-art-17.",
        )
    key = workspace.key_of(external_id)
    with workspace.lock():
        with workspace.lineage.reader() as reader:
            known = {row.contributor_key for row in reader.contributors()}
            earlier = [row for row in reader.requests() if row.contributor_key == key]
            waiting = reader.open_request(key) if earlier else None
        if whole := [row for row in earlier if row.records is None]:
            raise UsageError(
                f"Contributor {external_id!r} has opted out already: {whole[-1].request_id}.",
                remedy=f"see it with `sift opt-out status {whole[-1].request_id}`.",
            )
        if waiting is not None:
            raise UsageError(
                f"Contributor {external_id!r} has a request that is not done: "
                f"{waiting.request_id}.",
                remedy=f"run it first: `sift opt-out run {waiting.request_id}`.",
            )
        if key not in known:
            raise UsageError(
                f"There is no contributor {external_id!r}.",
                remedy="`sift contributors list` shows who is there; ids match exactly.",
            )
        if records is not None:
            require_withdrawable(workspace, key, external_id, records)
        with workspace.lineage.writer() as recorder:
            return recorder.receive(key, basis, datetime.now(UTC), records)


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

    def identify(self) -> None:
        """Find, by lineage, everything that was made from what is withdrawn."""
        impact = self.impact()
        self.done(
            "identified",
            {
                "datasets": [row.sha256 for row in impact.datasets],
                "task_vectors": [row.vector_sha256 for row in impact.vectors],
                "masks": [row.mask_sha256 for row in impact.vectors],
                "merge_states": [row.state_sha256 for row in impact.states],
                "model_versions": [row.version for row in impact.versions],
            },
        )

    def remove(self) -> None:
        """S ← S − τ_u by integers, T ← T − 1; of some records, S ← S − τ_u + τ_u', T stays.

        τ_u' is the vector of the contributor's remaining rows. Before the new state is current, its
        linear digest must be the one before plus the change; the old state's file is not touched.
        Where only masks are kept, τ_u is derived again. Raises AlteredError, RederivationError,
        ExactnessError, UsageError where settings have changed meanwhile.
        """
        records = self.request.records
        state = current_state_or_none(self.workspace)
        leaving = self._leaving(state) if state else None
        if leaving is not None:
            require_same_exactness(self.workspace)
            settle_vectors(self.workspace)
        if records is not None:
            if leaving is not None:
                with self.workspace.lineage.reader() as reader:
                    made = reader.run(leaving.run_id)
                require_same_settings(self.workspace, made)
            replace_dataset(self.workspace, self.key, records)
        if state is None:
            self.done("removed", {"was_member": False})
        elif leaving is None:
            self.done("removed", {"was_member": False, "state_before": state.state_sha256})
        elif records is None:
            self._change(state, leaving, None)
        else:
            self._change(state, leaving, finetune_again(self.workspace, self.key))

    def _leaving(self, state: StateRecord) -> Member | None:
        """The member whose vector was made from what is withdrawn."""
        runs = {run.run_id for run in self.impact().runs}
        with self.workspace.lineage.reader() as reader:
            members = reader.members(state.state_seq)
        return next((member for member in members if member.run_id in runs), None)

    def _change(self, state: StateRecord, leaving: Member, joining: TaskVector | None) -> None:
        """Make the state without one vector, perhaps with another, current; with it the step."""
        place = self.workspace
        with place.lineage.reader() as reader:
            members = {row.contributor_key: row.run_id for row in reader.members(state.state_seq)}
            before = reader.digest_check(state.state_seq)
            recorded = reader.task_vector(leaving.run_id)
        if place.keeps_masks_only:
            bring_back(place, [recorded])
        count = len(members)
        del members[self.key]
        add = []
        if joining is not None:
            members[self.key] = joining.run_id
            add = [stored_vector(place, self.key, joining.vector_sha256, joining.mask_sha256)]
        subtract = [stored_vector(place, self.key, leaving.vector_sha256, leaving.mask_sha256)]
        written = write_state(place, state, add, subtract, state.base_id, "opt-out")
        _require_sum(before, written.change, [digest.value for digest in written.digests])
        details = {
            "was_member": True,
            "vector": "derived again" if recorded.dropped_at else "stored",
            "state_before": state.state_sha256,
            "state_after": written.record.state_sha256,
            "members_before": count,
            "members_after": len(members),
            "digest_before": [str(lane.state_value) for lane in before],
            "digest_of_change": [str(lane) for lane in written.change],
            "digest_after": [str(digest.value) for digest in written.digests],
        }
        with place.lineage.writer() as recorder:
            make_current(recorder, written, members)
            recorder.advance(self.request_id, "removed", details, datetime.now(UTC))

    def verify(self) -> None:
        """Rebuild the merge from the remaining vectors and compare bits. Raises ExactnessError.

        The rebuilt state never saw the contributor: it is the reference that the removal must
        equal, byte for byte. Where only masks are kept, digests take its place.
        """
        if current_state_or_none(self.workspace) is None:
            self.done("verified", _NOTHING_BUILT)
            return
        verification = verify_state(self.workspace)
        verification.require()
        drop_joined(self.workspace, self.key)
        self.done("verified", verification.as_dict())

    def evaluate(self) -> None:
        """Score the new state for who stays, and unmasked for who leaves."""
        state = current_state_or_none(self.workspace)
        if state is None:
            self.done("evaluated", _NOTHING_BUILT)
            return
        after = evaluate_state(self.workspace, state, self._departed())
        before = self._evaluations_before()
        with self.workspace.lineage.reader() as reader:
            members = reader.members(state.state_seq)
        self.done(
            "evaluated",
            {
                "contributor": {"before": _own(before, self.key), "after": _own(after, self.key)},
                "retained": {
                    "before": aggregate(members, before),
                    "after": aggregate(members, after),
                },
            },
        )

    def register(self) -> None:
        """Register the new state and make it the champion, before anything old is destroyed."""
        state = current_state_or_none(self.workspace)
        if state is None:
            self.done("registered", _NOTHING_BUILT)
            return
        version = register(self.workspace, state, write_metrics(self.workspace, state))
        promote(self.workspace, version)
        self.done(
            "registered",
            {
                "model": version.name,
                "version": version.version,
                "served_sha256": version.served_sha256,
                "state_sha256": state.state_sha256,
            },
        )

    def _departed(self) -> DatasetVersion | None:
        """The dataset they were last in the merge with, or what they brought and never was.

        None for some records: the contributor stays and is scored as a member.
        """
        if self.request.records is not None:
            return None
        with self.workspace.lineage.reader() as reader:
            states = reader.impact(self.key).states
            rows = reader.member_datasets(states[-1].state_seq) if states else []
            rows = rows or reader.current_datasets()
        return next((row for row in rows if row.contributor_key == self.key), None)

    def _evaluations_before(self) -> list[Evaluation]:
        """The evaluations of the last state that still held what is withdrawn."""
        states = self.impact().states
        with self.workspace.lineage.reader() as reader:
            return reader.evaluations(states[-1].state_seq) if states else []


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


def _own(rows: Sequence[Evaluation], key: str) -> dict[str, float]:
    return {f"{row.setting}.{row.split}": row.value for row in rows if row.contributor_key == key}
