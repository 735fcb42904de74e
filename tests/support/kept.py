"""The same few contributors in a workspace that keeps vectors and in one that keeps masks only."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flows.evidence.verification import verify
from flows.workspace.workspace import Workspace
from tests.support.damage import change_lineage
from tests.support.workspaces import (
    CONTRIBUTORS,
    TWINS,
    Snapshot,
    build_plainly,
    change,
    finetune_and_merge,
    make_workspace,
    reviews,
)

FEW = (*CONTRIBUTORS[:3], *TWINS)
LEAVER, STAYER = FEW[1], FEW[2]


@dataclass(frozen=True)
class Both:
    """Two built workspaces, and bytes by which each contributor's vector is known."""

    masks: Snapshot
    vectors: Snapshot
    needles: dict[str, bytes]


def built_keeping(root: Path, source: Path, keep: str) -> Workspace:
    """A workspace of the few, built from scratch."""
    workspace = make_workspace(root, source, map(reviews, FEW), keep=keep)
    build_plainly(root)
    return workspace


def fresh_merge(root: Path, source: Path, contributors: Iterable[str]) -> Workspace:
    """Another workspace with these contributors alone, finetuned and merged afresh."""
    workspace = make_workspace(root, source, map(reviews, contributors))
    finetune_and_merge(workspace)
    return workspace


def keep(workspace: Workspace, what: str) -> Workspace:
    """The workspace after its owner has changed `storage.keep`."""
    before = {"masks": "vectors", "vectors": "masks"}[what]
    return change(workspace, f"keep: {before}", f"keep: {what}")


def vector_files(workspace: Workspace) -> list[Path]:
    """Every vector file, whether it is kept or waits for the merge."""
    return [path for folder in workspace.vector_folders for path in folder.iterdir()]


def level(workspace: Workspace) -> str:
    """What the merge was held against; all checks passed."""
    found = verify(workspace)
    found.require()
    return found.level


def elsewhere(workspace: Workspace) -> None:
    """Let lineage say that every finetuning ran with another torch, on another processor."""
    change_lineage(
        workspace,
        "UPDATE environment SET platform = 'Linux riscv64 an abacus', environment_id = 'abacus', "
        'packages = json_merge_patch(packages, \'{"torch": "1.0"}\')',
    )
    change_lineage(workspace, "UPDATE finetuning_run SET environment_id = 'abacus'")
