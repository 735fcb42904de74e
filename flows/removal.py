"""Taking one contributor out: each step of an opt-out up to `registered`, as a plain function.

A step reads from lineage whether it is done, does its work, and records it. What must hold
together (the new state is current, the contributor is no member, the step is done) is recorded in
one transaction; so a process killed anywhere is run again and ends in the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from flows.errors import UsageError
from flows.evaluating import aggregate, evaluate_state, write_metrics
from flows.finetuning import require_same_exactness
from flows.keeping import settle_vectors
from flows.merging import (
    current_state_or_none,
    make_current,
    stored_vector,
    write_state,
)
from flows.rederiving import bring_back
from flows.registering import promote, register
from flows.verifying import ExactnessError, verify_state
from flows.workspace import Workspace
from lineage import DatasetVersion, Evaluation, LaneCheck, OptOutRequest

LANE_MODULUS = 2**64
MAX_BASIS_LENGTH = 200
_NOTHING_BUILT = {"nothing_built": True}


def receive(workspace: Workspace, external_id: str, basis: str) -> OptOutRequest:
    """File an opt-out request. Raises UsageError for an unknown contributor or no basis."""
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
        if earlier:
            raise UsageError(
                f"Contributor {external_id!r} has opted out already: {earlier[-1].request_id}.",
                remedy=f"see it with `sift opt-out status {earlier[-1].request_id}`.",
            )
        if key not in known:
            raise UsageError(
                f"There is no contributor {external_id!r}.",
                remedy="`sift contributors list` shows who is there; ids match exactly.",
            )
        with workspace.lineage.writer() as recorder:
            return recorder.receive(key, basis, datetime.now(UTC))


@dataclass(frozen=True)
class Removal:
    """One request on its way through the steps."""

    workspace: Workspace
    request_id: str

    @cached_property
    def key(self) -> str:
        """The contributor key of the request."""
        with self.workspace.lineage.reader() as reader:
            return reader.request(self.request_id).contributor_key

    def next_step(self) -> str | None:
        """The first step that is not done, None when the request has ended."""
        with self.workspace.lineage.reader() as reader:
            return reader.next_step(self.request_id)

    def done(self, step: str, details: dict[str, Any], at: datetime | None = None) -> None:
        """Record a step, done `at` or now."""
        with self.workspace.lineage.writer() as recorder:
            recorder.advance(self.request_id, step, details, at or datetime.now(UTC))

    def identify(self) -> None:
        """Find, by lineage, everything that was made from this contributor's data."""
        with self.workspace.lineage.reader() as reader:
            impact = reader.impact(self.key)
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
        """S ← S − τ_u, T ← T − 1, by integers.

        Before the new state is current, its linear digest must be the difference of the two; the
        old state's file is not touched. Where only masks are kept, the finetuning is run again for
        its vector. Raises AlteredError, RederivationError, ExactnessError.
        """
        state = current_state_or_none(self.workspace)
        if state is None:
            self.done("removed", {"was_member": False})
            return
        require_same_exactness(self.workspace)
        settle_vectors(self.workspace)
        with self.workspace.lineage.reader() as reader:
            members = {row.contributor_key: row for row in reader.members(state.state_seq)}
            before = reader.digest_check(state.state_seq)
        leaving = members.pop(self.key, None)
        if leaving is None:
            self.done("removed", {"was_member": False, "state_before": state.state_sha256})
            return
        with self.workspace.lineage.reader() as reader:
            record = reader.task_vector(leaving.run_id)
        if self.workspace.keeps_masks_only:
            bring_back(self.workspace, [record])
        vector = stored_vector(self.workspace, self.key, leaving.vector_sha256, leaving.mask_sha256)
        written = write_state(self.workspace, state, [], [vector], state.base_id, "opt-out")
        lanes = [-lane % LANE_MODULUS for lane in written.change]
        _require_difference(before, lanes, [digest.value for digest in written.digests])
        details = {
            "was_member": True,
            "vector": "derived again" if record.dropped_at else "stored",
            "state_before": state.state_sha256,
            "state_after": written.record.state_sha256,
            "members_before": len(members) + 1,
            "members_after": len(members),
            "digest_before": [str(lane.state_value) for lane in before],
            "digest_of_vector": [str(lane) for lane in lanes],
            "digest_after": [str(digest.value) for digest in written.digests],
        }
        remaining = {key: member.run_id for key, member in members.items()}
        with self.workspace.lineage.writer() as recorder:
            make_current(recorder, written, remaining)
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
        """The dataset they were last in the merge with, or what they brought and never was."""
        with self.workspace.lineage.reader() as reader:
            states = reader.impact(self.key).states
            rows = reader.member_datasets(states[-1].state_seq) if states else []
            rows = rows or reader.current_datasets()
        return next((row for row in rows if row.contributor_key == self.key), None)

    def _evaluations_before(self) -> list[Evaluation]:
        """The evaluations of the last state that still held the contributor."""
        with self.workspace.lineage.reader() as reader:
            states = reader.impact(self.key).states
            return reader.evaluations(states[-1].state_seq) if states else []


def _require_difference(
    before: Sequence[LaneCheck], vector: Sequence[int], after: Sequence[int]
) -> None:
    expected = [
        ((lane.state_value or 0) - own) % LANE_MODULUS
        for lane, own in zip(before, vector, strict=True)
    ]
    if expected != list(after):
        raise ExactnessError(
            f"The digest of S − τ is {list(after)}, the difference of the digests {expected}.",
            remedy="the merge state or the vector is not what lineage recorded: run `sift verify`.",
        )


def _own(rows: Sequence[Evaluation], key: str) -> dict[str, float]:
    return {f"{row.setting}.{row.split}": row.value for row in rows if row.contributor_key == key}
