"""A workspace that waits for workers."""

from pathlib import Path

import pytest

from flows.integrations.staging.staging import RemoteAddress, Staging
from flows.training.base_model import ensure_base
from flows.training.finetune import finetune_jobs, jobs, pending
from flows.training.workers.assignments import finetune_elsewhere
from flows.workspace.workspace import Workspace
from tests.support.pools import Act, LocalPool, honest
from tests.support.workspaces import CONTRIBUTORS, TWINS, Snapshot, make_workspace, reviews


def staged(workspace: Workspace) -> dict[str, int]:
    """What is left in the staging area beside the public base model."""
    found = Staging(RemoteAddress.of(workspace.dvc)).list()
    return {path: size for path, size in found.items() if not path.startswith("base/")}


def with_build(workspace: Workspace, **changes: object) -> Workspace:
    """The workspace with other settings of `build`."""
    settings = workspace.settings
    build = settings.build.model_copy(update=changes)
    workspace.__dict__["settings"] = settings.model_copy(update={"build": build})
    return workspace


NAMES = (*CONTRIBUTORS[:3], *TWINS)


@pytest.fixture(scope="session")
def _waiting(tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path) -> Snapshot:
    root = tmp_path_factory.mktemp("waiting") / "workspace"
    workspace = make_workspace(root, tiny_classifier, [[row for c in NAMES for row in reviews(c)]])
    ensure_base(workspace)
    return Snapshot.take(root, "waiting")


@pytest.fixture
def waiting(_waiting: Snapshot) -> Workspace:
    """Five contributors and a base model; nothing is finetuned."""
    return _waiting.restore()


@pytest.fixture(scope="session")
def made_here(_waiting: Snapshot) -> dict[str, bytes]:
    """Every vector and mask of these contributors as this process makes them."""
    workspace = _waiting.restore()
    finetune_jobs(workspace, jobs(workspace))
    return vectors_and_masks(workspace)


def vectors_and_masks(workspace: Workspace) -> dict[str, bytes]:
    """Every vector and mask file of a workspace."""
    return {
        path.relative_to(workspace.root).as_posix(): path.read_bytes()
        for folder in (workspace.vectors, workspace.masks)
        for path in folder.iterdir()
    }


def finetune_by(workspace: Workspace, *acts: Act) -> LocalPool:
    """Have everyone who waits finetuned by workers that act so."""
    pool = LocalPool(workspace.root.parent / "worker", list(acts or (honest,)))
    finetune_elsewhere(workspace, pending(workspace), pool, tick_seconds=0.0)
    return pool
