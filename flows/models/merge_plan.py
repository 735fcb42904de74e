"""From the current merge to a wanted one: which way reads, and where need be finetunes, the least.

All ways end in the same bytes, since the sum is of integers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.training.rederive import bring_back, is_here
from flows.workspace.workspace import Workspace
from lineage import Member, MergeStateRecord, TaskVectorRecord
from sift_core.errors import AlteredError


@dataclass(frozen=True)
class Way:
    """A merge as `before` (None: the empty sum) with vectors added and subtracted.

    `missing` are those of them whose files are not here, or are damaged.
    """

    before: MergeStateRecord | None
    add: Sequence[TaskVectorRecord]
    subtract: Sequence[TaskVectorRecord]
    missing: Sequence[TaskVectorRecord]

    @property
    def cost(self) -> tuple[int, int]:
        """How many vectors are missing, then how many are read."""
        return len(self.missing), len(self.add) + len(self.subtract)


def choose_way(
    workspace: Workspace,
    intact: MergeStateRecord | None,
    members: Sequence[Member],
    wanted: Mapping[str, str],
    runs: Mapping[str, TaskVectorRecord],
) -> Way:
    """The cheapest way to the merge of `wanted` {contributor key: run id}.

    `intact` is the current state, with these members, or None where it cannot be built upon.
    """
    held = {member.contributor_key: member.run_id for member in members}
    joining = [runs[run_id] for key, run_id in wanted.items() if held.get(key) != run_id]
    leaving = [runs[run_id] for key, run_id in held.items() if wanted.get(key) != run_id]
    everyone = [runs[run_id] for run_id in wanted.values()]
    absent = [row for row in everyone if not _file(workspace, row).is_file()]
    ways = [Way(None, everyone, [], absent)]
    if intact is not None:
        damaged = [row for row in (*joining, *leaving) if not is_here(workspace, row)]
        ways.append(Way(intact, joining, leaving, damaged))
    return min(ways, key=lambda way: way.cost)


def clear_way(workspace: Workspace, way: Way) -> None:
    """Where only masks are kept, derive again what the way lacks. Raises RederivationError.

    Where vectors are kept a missing one is an error, which whoever reads it raises.
    """
    if workspace.keeps_masks_only:
        bring_back(workspace, way.missing)


def require_state(workspace: Workspace, way: Way, current: MergeStateRecord) -> None:
    """Raise AlteredError rather than finetune everyone again because one file is damaged."""
    if workspace.keeps_masks_only and way.missing:
        raise altered_state(workspace, current)


def altered_state(workspace: Workspace, state: MergeStateRecord) -> AlteredError:
    """The file of a state is not the recorded bytes, and what to do."""
    again = "run `sift build`, which adds the vectors up again"
    if workspace.keeps_masks_only:
        again = "set another finetune.seed, and `sift build` finetunes everyone again"
    return AlteredError(
        f"{workspace.state_file(state.state_sha256)} is not the merge that lineage recorded.",
        remedy=f"restore it with `dvc checkout merge`; or {again}.",
    )


def _file(workspace: Workspace, row: TaskVectorRecord) -> Path:
    return workspace.vector_file(row.contributor_key, row.vector_sha256)
