"""The rebuild of a merge state in sittings: the gold check for more members than fit in one.

S and C of some members are a merge state like any other. Each sitting adds the vectors of a few
more to it, in the order of keys, until its time is up; the next one goes on from the file. When all
are in, it must be the current state, byte for byte: it has seen nobody who left.

A merge may change meanwhile. Who joined is added; where somebody who is in has left, or is in with
other data, the rebuild begins anew, and the file of what it was is destroyed with their data
(`flows/erasure/targets/workspace_files.py`).
"""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import sift_bytes
import sift_core
from flows.errors import FlowError
from flows.models.merge import stored_vector
from flows.models.weights import kind_of
from flows.progress import tracked
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from lineage import Member, MergeStateRecord, RebuildRecord
from lineage.records import ContributorKey, Sha256
from sift_core import Kind, StoredState

_log = logging.getLogger(__name__)

_VECTORS_AT_ONCE = 100
_ENTRIES_AT_ONCE = 10**9
"""Of all these vectors together."""

_ALARM = (
    "STOP. Merge state {number}, which is served, is {state}…, and its {members} members' vectors "
    "alone add up to {found}…: what is served may hold what somebody withdrew. `sift audit` says "
    "what to do."
)
_REMEDY = (
    "take the model out of service, and copy the workspace as evidence. Run `sift audit` again: it "
    "adds all up once more, in case a machine erred. If it says the same, delete the files in "
    "merge/ and run `sift build`, which merges the vectors of who is a member anew and registers "
    "that; then `sift audit`, and tell everybody whose certificate is younger than the last "
    "attestation."
)


class RebuiltOtherwiseError(FlowError):
    """The merge state that is served is not what its members' vectors add up to."""


class Progress(BaseModel):
    """Whose vectors the file of an unfinished rebuild holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    sha256: Sha256
    """Of the file."""
    members: Annotated[dict[ContributorKey, str], Field(min_length=1)]
    """Contributor key → the run whose vector was added."""


@dataclass(frozen=True)
class Rebuild:
    """How far the rebuild of the current state is; `rebuilt_sha256` once all are in."""

    state: MergeStateRecord
    done: int
    members: int
    rebuilt_sha256: str | None = None

    @property
    def is_the_state(self) -> bool:
        """Whether it is finished, and the bytes are those of the state."""
        return self.rebuilt_sha256 == self.state.state_sha256


def vectors_at_once(entries: int) -> int:
    """How many vectors of so many entries take seconds to open, to read and to add up."""
    return min(_VECTORS_AT_ONCE, _ENTRIES_AT_ONCE // max(entries, 1))


def rebuild(workspace: Workspace, goes_on: Callable[[], bool]) -> Rebuild:
    """Sit down to the rebuild of the current state for as long as `goes_on`, at least one step.

    Nothing but the folder of the rebuild changes. Raises AlteredError, CodecError, OSError where a
    member's file is not as recorded.
    """
    with workspace.lineage.reader() as reader:
        state = current_state(workspace)
        members = reader.members(state.state_seq)
    progress = _usable(workspace, members)
    done = {} if progress is None else dict(progress.members)
    waiting = [member for member in members if member.contributor_key not in done]
    kind = kind_of(workspace, state)
    steps = _steps(kind, waiting)
    for few in tracked("Rebuilding", steps, len(steps)):
        progress = _add(workspace, kind, progress, few)
        if not goes_on():
            break
    if progress is None:  # of nobody
        return Rebuild(state, 0, 0)
    finished = progress.sha256 if len(progress.members) == len(members) else None
    return Rebuild(state, len(progress.members), len(members), finished)


def members_rebuilt(workspace: Workspace) -> dict[str, str] | None:
    """Key → run of everybody whose vector an unfinished rebuild holds.

    None where nobody can tell: its note is damaged.
    """
    if not any(workspace.rebuild.glob("*.safetensors")):
        return {}
    progress = _noted(workspace)
    return None if progress is None else progress.members


def rebuilt_so_far(workspace: Workspace, state: MergeStateRecord) -> Path | None:
    """The file of an unfinished rebuild, where it holds members of this state and nobody else."""
    with workspace.lineage.reader() as reader:
        members = reader.members(state.state_seq)
    progress = _noted(workspace)
    return _file(workspace, progress) if progress and _holds_only(progress, members) else None


def is_same(state: MergeStateRecord, row: RebuildRecord) -> bool:
    """Whether the rebuild of a state gave its bytes."""
    return row.rebuilt_sha256 == state.state_sha256


def require_no_alarm(workspace: Workspace, state: MergeStateRecord) -> None:
    """Raise RebuiltOtherwiseError where the rebuild of this state gave other bytes."""
    with workspace.lineage.reader() as reader:
        row = reader.rebuild(state.state_seq)
        members = len(reader.members(state.state_seq))
    if row is not None and not is_same(state, row):
        facts = _ALARM.format(
            number=state.state_seq,
            state=state.state_sha256[:16],
            members=members,
            found=row.rebuilt_sha256[:16],
        )
        _log.critical("%s", facts)
        raise RebuiltOtherwiseError(facts, remedy=_REMEDY)


def forget_rebuild(workspace: Workspace, holding: str | None = None) -> None:
    """Destroy what a rebuild has left; with `holding`, only if it has come to these bytes."""
    if holding is not None and not (workspace.rebuild / f"{holding}.safetensors").is_file():
        return
    shutil.rmtree(workspace.rebuild, ignore_errors=True)


def _usable(workspace: Workspace, members: Sequence[Member]) -> Progress | None:
    """What earlier sittings made, where all in it are still members by the same runs."""
    progress = _noted(workspace)
    if progress is not None and _holds_only(progress, members):
        path = _file(workspace, progress)
        if path.is_file() and sift_bytes.file_sha256(path) == progress.sha256:
            return progress
    forget_rebuild(workspace)
    return None


def _holds_only(progress: Progress, members: Sequence[Member]) -> bool:
    runs = {member.contributor_key: member.run_id for member in members}
    return progress.members.items() <= runs.items()


def _noted(workspace: Workspace) -> Progress | None:
    try:
        return Progress.model_validate_json(_note(workspace).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None  # not begun, or damaged: it begins anew


def _steps(kind: Kind, waiting: Sequence[Member]) -> list[Sequence[Member]]:
    """Who is added together: as much work is lost where a sitting is killed."""
    size = max(1, vectors_at_once(sum(prod(shape) for shape in kind.shapes.values())))
    return [waiting[start : start + size] for start in range(0, len(waiting), size)]


def _add(
    workspace: Workspace, kind: Kind, before: Progress | None, few: Sequence[Member]
) -> Progress:
    """Add these vectors, and only then let go of the file without them."""
    workspace.rebuild.mkdir(parents=True, exist_ok=True)
    done = {} if before is None else before.members
    vectors = [
        stored_vector(workspace, one.contributor_key, one.vector_sha256, one.mask_sha256)
        for one in few
    ]
    written = sift_core.update_state(
        kind,
        None if before is None else StoredState(_file(workspace, before), before.sha256, len(done)),
        vectors,
        [],
        workspace.settings.exactness.digest_seed,
        workspace.rebuild,
    )
    after = Progress(
        sha256=written.sha256, members=done | {one.contributor_key: one.run_id for one in few}
    )
    sift_bytes.write_atomically(_note(workspace), after.model_dump_json().encode())
    for path in workspace.rebuild.glob("*.safetensors"):
        if path != written.path:
            path.unlink()
    return after


def _note(workspace: Workspace) -> Path:
    return workspace.rebuild / "progress.json"


def _file(workspace: Workspace, progress: Progress) -> Path:
    return workspace.rebuild / f"{progress.sha256}.safetensors"
