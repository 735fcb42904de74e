"""A workspace that waits for workers, and one to try bases in."""

from pathlib import Path

import pytest

from flows.training.base_model import ensure_base
from flows.workspace.workspace import Workspace
from tests.support.waiting import _waiting, made_here, waiting  # noqa: F401  fixtures
from tests.support.workspaces import settings


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, tiny_causal: Path) -> Path:
    """A workspace whose base is made already, to try others in."""
    root = tmp_path_factory.mktemp("bases") / "workspace"
    workspace = Workspace.create(root, settings(tiny_causal, ()))
    ensure_base(workspace)
    return root
