"""Merge states in the workspace: built from stored vectors, written under their own name.

A new state never touches the old one's file. It becomes current by one transaction of the
lineage store, and whatever was interrupted before that is rubbish that the next run sweeps away.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Literal

import sift_bytes
import sift_core
from flows.errors import FlowError
from flows.models.merge_plan import choose_way, clear_way, require_state
from flows.progress import tracked
from flows.training.base_model import base_id
from flows.training.finetune import Job
from flows.workspace.current_state import current_state
from flows.workspace.recorded_file import state_file
from flows.workspace.workspace import Workspace
from lineage import (
    LinearDigestRecord,
    Member,
    MergeStateRecord,
    NewState,
    Recorder,
    TaskVectorRecord,
)
from sift_core import Grid, Kind, Mask, MergeState, StoredState, StoredVector


class NothingToMergeError(FlowError):
    """There is no contributor, and never was one."""

    exit_code = 2


@dataclass(frozen=True)
class WrittenState:
    """A merge state on disk that is not yet current."""

    record: NewState
    digests: tuple[LinearDigestRecord, ...]


def merge_members(workspace: Workspace, work: Sequence[Job]) -> MergeStateRecord:
    """Make the merge of exactly these finished jobs current; the record of the current state.

    Nothing happens where it is current already and its file is intact. Else the sum is made from an
    intact current state, by what changed, or afresh from all vectors, whichever reads fewer; both
    end in the same bytes. Raises AlteredError, RederivationError.
    """
    wanted = {job.dataset.contributor_key: job.run_id for job in work}
    with workspace.lineage.reader() as reader:
        current = reader.current_state()
        members = reader.members(current.state_seq) if current else []
        runs = {vector.run_id: vector for vector in reader.task_vectors()}
    if not wanted and current is None:
        raise NothingToMergeError(
            "There are no contributors.", remedy="add some with `sift contributors add FILE`."
        )
    same_members = {m.contributor_key: m.run_id for m in members} == wanted
    if current is not None and same_members and state_file(workspace, current).is_whole:
        sweep_states(workspace, current.state_sha256)
        return current
    base = base_id(workspace)
    usable = (
        current is not None and current.base_id == base and state_file(workspace, current).is_whole
    )
    way = choose_way(workspace, current if usable else None, members, wanted, runs)
    if current is not None and not usable:
        require_state(workspace, way, current)
    clear_way(workspace, way)
    written = write_state(
        workspace,
        None if way.before is None else stored_state(workspace, way.before, len(members)),
        [_vector(workspace, row) for row in way.add],
        [_vector(workspace, row) for row in way.subtract],
        base,
        "update" if way.before else "rebuild",
    )
    if not (current and same_members and written.record.state_sha256 == current.state_sha256):
        with workspace.lineage.writer() as recorder:
            make_current(recorder, written, wanted)
    # Otherwise only the file of the current state was damaged, and is whole again.
    sweep_states(workspace, written.record.state_sha256)
    return current_state(workspace)


def write_state(
    workspace: Workspace,
    before: StoredState | None,
    add: Sequence[StoredVector],
    subtract: Sequence[StoredVector],
    base_id: str,
    how: Literal["rebuild", "update", "opt-out"],
) -> WrittenState:
    """Write `before` (None: of nobody) with vectors added and subtracted; not current yet.

    Reads `before` and the named vectors, of nobody else. The file stands under its own SHA-256 when
    everything that was read was the bytes lineage recorded. Raises SiftCoreError.
    """
    written = sift_core.update_state(
        _kind(workspace, add, subtract),
        before,
        add,
        subtract,
        workspace.settings.exactness.digest_seed,
        workspace.merge,
        [sift_bytes.md5],
        watch=lambda blocks: tracked("Merging", blocks, len(blocks)),
    )
    record = NewState(
        state_sha256=written.sha256,
        md5=written.also[0],
        bytes=written.size,
        base_id=base_id,
        how=how,
        created_at=datetime.now(UTC),
    )
    lanes = tuple(
        LinearDigestRecord(subject=written.sha256, lane=lane, value=value)
        for lane, value in enumerate(written.digest)
    )
    return WrittenState(record, lanes)


def rebuilt_sha256(workspace: Workspace, members: Sequence[Member]) -> str:
    """The SHA-256 of the merge of members' stored vectors, whatever the current state holds."""
    vectors = [_vector(workspace, member) for member in members]
    return sift_core.rebuilt_sha256(
        _kind(workspace, vectors),
        vectors,
        lambda blocks: tracked("Adding up vectors", blocks, len(blocks)),
    )


def merged_afresh(
    workspace: Workspace, state: MergeStateRecord, folder: Path
) -> tuple[StoredState, Kind]:
    """The members of a state merged from their stored vectors alone, as a file in `folder`.

    It has seen nobody else, whatever the state itself was computed from. Raises SiftCoreError.
    """
    with workspace.lineage.reader() as reader:
        members = reader.members(state.state_seq)
    vectors = [_vector(workspace, member) for member in members]
    kind = _kind(workspace, vectors)
    seed = workspace.settings.exactness.digest_seed
    written = sift_core.update_state(kind, None, vectors, [], seed, folder)
    return StoredState(written.path, written.sha256, written.members), kind


def _kind(workspace: Workspace, *vectors: Sequence[StoredVector]) -> Kind:
    """What the vectors of this workspace have in common; without any, the current state knows."""
    settings = workspace.settings.exactness
    first = next(chain.from_iterable(vectors), None)
    if first is not None:
        shapes = sift_core.shapes_in(first.mask, first.mask_sha256)
    else:
        sha256 = current_state(workspace).state_sha256
        shapes = sift_core.shapes_in(workspace.state_file(sha256), sha256)
    return Kind(shapes, Grid(settings.grid_bits), settings.sign_seed)


def stored_state(workspace: Workspace, record: MergeStateRecord, members: int) -> StoredState:
    """Where a merge state is, and what lineage recorded of it; `members` is T, from lineage."""
    return StoredState(workspace.state_file(record.state_sha256), record.state_sha256, members)


def _vector(workspace: Workspace, record: TaskVectorRecord | Member) -> StoredVector:
    return stored_vector(
        workspace, record.contributor_key, record.vector_sha256, record.mask_sha256
    )


def stored_vector(
    workspace: Workspace, key: str, vector_sha256: str, mask_sha256: str
) -> StoredVector:
    """Where one contributor's vector and mask are, and what lineage recorded of them."""
    return StoredVector(
        workspace.vector_file(key, vector_sha256),
        workspace.mask_file(key, mask_sha256),
        vector_sha256,
        mask_sha256,
    )


def read_state(workspace: Workspace, record: MergeStateRecord, members: int) -> MergeState:
    """A merge state of so many members, as a whole. Raises AlteredError, CodecError."""
    return sift_core.read_state(stored_state(workspace, record, members))


def read_mask(workspace: Workspace, key: str, mask_sha256: str) -> Mask:
    """One contributor's mask. Raises AlteredError where it is not the recorded bytes."""
    return sift_core.read_mask(workspace.mask_file(key, mask_sha256), mask_sha256)


def make_current(recorder: Recorder, written: WrittenState, members: Mapping[str, str]) -> int:
    """Record a written state as the current one, with `members` (key → run id).

    Its time is never before that of the state before, whatever the clock says: after a build by a
    clock that was ahead, nobody could leave until then.
    """
    record, before = written.record, recorder.read.current_state()
    if before is not None and record.created_at < before.created_at:
        record = record.model_copy(update={"created_at": before.created_at})
    number = recorder.record_state(record, members)
    recorder.add_all(written.digests)
    return number


def sweep_states(workspace: Workspace, keep_sha256: str) -> None:
    """Remove every state file but one. DVC keeps the states that were committed."""
    for path in workspace.merge.iterdir():
        if path != workspace.state_file(keep_sha256):
            path.unlink()
