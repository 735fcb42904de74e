"""Merge states in the workspace: built from stored vectors, written under their own name.

A new state never touches the old one's file. It becomes current by one transaction of the
lineage store, and whatever was interrupted before that is rubbish that the next run sweeps away.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Literal

import sift_core
from flows.digests import md5_of
from flows.errors import FlowError
from flows.finetuning import Job
from flows.progress import tracked
from flows.rederiving import Rederiver
from flows.workspace import Workspace
from lineage import LinearDigest, Member, NewState, Recorder
from lineage import MergeState as StateRecord
from sift_core import Grid, Mask, MergeState, TaskVector


class AlteredError(FlowError):
    """A stored artifact is not the bytes that lineage recorded."""


class NothingToMergeError(FlowError):
    """There is no contributor, and never was one."""

    exit_code = 2


@dataclass(frozen=True)
class WrittenState:
    """A merge state on disk that is not yet current."""

    record: NewState
    digests: tuple[LinearDigest, ...]


def merge_members(workspace: Workspace, work: Sequence[Job]) -> StateRecord:
    """Make the merge of exactly these finished jobs current; the record of the current state.

    Nothing happens where it is current already and its file is intact. Rebuilds from the stored
    vectors: at the cost of reading them all, the result owes nothing to any earlier state.
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
    if current is not None and same_members and _is_intact(workspace, current):
        sweep_states(workspace, current.state_sha256)
        return current
    vectors = tracked(
        "Merging",
        (
            read_vector(workspace, key, runs[run_id].vector_sha256, runs[run_id].mask_sha256)
            for key, run_id in wanted.items()
        ),
        len(wanted),
    )
    base_id = sift_core.folder_sha256(workspace.base)
    state = rebuild(workspace, vectors)
    written = write_state(workspace, state, base_id, "rebuild")
    if not (current and same_members and written.record.state_sha256 == current.state_sha256):
        with workspace.lineage.writer() as recorder:
            make_current(recorder, written, wanted)
    # Otherwise only the file of the current state was damaged, and is whole again.
    sweep_states(workspace, written.record.state_sha256)
    return current_state(workspace)


def current_state(workspace: Workspace) -> StateRecord:
    """The record of the current merge state. Raises FlowError where nothing was built."""
    current = current_state_or_none(workspace)
    if current is None:
        raise FlowError("Nothing has been built yet.", remedy="run `sift build`.")
    return current


def current_state_or_none(workspace: Workspace) -> StateRecord | None:
    """The record of the current merge state, None where nothing was built."""
    with workspace.lineage.reader() as reader:
        return reader.current_state()


def rebuild(workspace: Workspace, vectors: Iterator[TaskVector]) -> MergeState:
    """S from vectors alone; one of them in memory at a time. No vectors: the empty sum."""
    settings = workspace.settings.exactness
    first = next(vectors, None)
    shapes = _shapes_of_current(workspace) if first is None else first.mask.shapes
    every = chain([first] if first else [], vectors)
    return MergeState.rebuild(every, shapes, Grid(settings.grid_bits), settings.sign_seed)


def _shapes_of_current(workspace: Workspace) -> Mapping[str, tuple[int, ...]]:
    """The trainable shapes of the workspace, from the state that is being emptied."""
    return {name: sums.shape for name, sums in read_current(workspace).sums.items()}


def read_members(workspace: Workspace, members: Sequence[Member]) -> Iterator[TaskVector]:
    """The vectors of members, checked against lineage, one at a time."""
    for member in tracked("Reading vectors", members, len(members)):
        yield read_vector(
            workspace, member.contributor_key, member.vector_sha256, member.mask_sha256
        )


def read_vector(workspace: Workspace, key: str, vector_sha256: str, mask_sha256: str) -> TaskVector:
    """One contributor's vector. Raises AlteredError where its files are not the recorded bytes."""
    mask = read_mask(workspace, key, mask_sha256)
    path = workspace.vector_file(key, vector_sha256)
    return TaskVector.from_bytes(_recorded_bytes(path, vector_sha256), mask, str(path))


def is_stored(workspace: Workspace, member: Member) -> bool:
    """Whether the file of a member's vector is here; where only masks are kept it need not be."""
    return workspace.vector_file(member.contributor_key, member.vector_sha256).is_file()


def recall_vector(workspace: Workspace, member: Member) -> TaskVector:
    """A member's vector from its file; where only masks are kept, by its finetuning again.

    Raises AlteredError, RederivationError.
    """
    if workspace.keeps_masks_only and not is_stored(workspace, member):
        return Rederiver(workspace).vector(member.run_id)
    return read_vector(workspace, member.contributor_key, member.vector_sha256, member.mask_sha256)


def read_mask(workspace: Workspace, key: str, mask_sha256: str) -> Mask:
    """One contributor's mask. Raises AlteredError where its file is not the recorded bytes."""
    path = workspace.mask_file(key, mask_sha256)
    return Mask.from_bytes(_recorded_bytes(path, mask_sha256), str(path))


def read_current(workspace: Workspace) -> MergeState:
    """The current merge state. Raises AlteredError where its file is not the recorded bytes."""
    return read_state(workspace, current_state(workspace))


def read_state(workspace: Workspace, record: StateRecord) -> MergeState:
    """A merge state by its record. Raises AlteredError."""
    path = workspace.state_file(record.state_sha256)
    return MergeState.from_bytes(_recorded_bytes(path, record.state_sha256), str(path))


def write_state(
    workspace: Workspace,
    state: MergeState,
    base_id: str,
    how: Literal["rebuild", "update", "opt-out"],
) -> WrittenState:
    """Write a state under its own name and read it back; it is not current yet."""
    data = state.to_bytes()
    state_sha256 = sift_core.sha256_of(data)
    path = workspace.state_file(state_sha256)
    sift_core.write_atomically(path, data)
    _recorded_bytes(path, state_sha256)
    lanes = sift_core.linear_digest(state.sums.items(), workspace.settings.exactness.digest_seed)
    record = NewState(
        state_sha256=state_sha256,
        md5=md5_of(data),
        bytes=len(data),
        base_id=base_id,
        how=how,
        created_at=datetime.now(UTC),
    )
    digests = tuple(
        LinearDigest(subject=state_sha256, lane=lane, value=value)
        for lane, value in enumerate(lanes)
    )
    return WrittenState(record, digests)


def make_current(recorder: Recorder, written: WrittenState, members: Mapping[str, str]) -> int:
    """Record a written state as the current one, with `members` (key → run id)."""
    number = recorder.record_state(written.record, members)
    recorder.add_all(written.digests)
    return number


def sweep_states(workspace: Workspace, keep_sha256: str) -> None:
    """Remove every state file but one. DVC keeps the states that were committed."""
    for path in workspace.merge.iterdir():
        if path != workspace.state_file(keep_sha256):
            path.unlink()


def _is_intact(workspace: Workspace, record: StateRecord) -> bool:
    path = workspace.state_file(record.state_sha256)
    return path.is_file() and sift_core.sha256_of(path.read_bytes()) == record.state_sha256


def _recorded_bytes(path: Path, sha256: str) -> bytes:
    data = path.read_bytes() if path.is_file() else b""
    if sift_core.sha256_of(data) != sha256:
        found = f"has SHA-256 {sift_core.sha256_of(data)[:16]}…" if data else "is missing or empty"
        raise AlteredError(
            f"{path} {found}, lineage recorded {sha256[:16]}….",
            remedy="restore it with `dvc checkout`, then run `sift verify`.",
        )
    return data
