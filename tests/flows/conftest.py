"""Finished merges and builds, made once and given afresh to each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.workspace import Workspace
from tests.flows.served import MEMBERS, Served, finished_merge, remake_elsewhere
from tests.flows.workspaces import CONTRIBUTORS, Snapshot, make_workspace, reviews


@pytest.fixture(scope="session")
def _classifier(tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path) -> Served:
    root = tmp_path_factory.mktemp("classifier") / "workspace"
    return finished_merge(root, tiny_classifier, "classification", MEMBERS)


@pytest.fixture(scope="session")
def _generator(tmp_path_factory: pytest.TempPathFactory, tiny_causal: Path) -> Served:
    root = tmp_path_factory.mktemp("generator") / "workspace"
    return finished_merge(root, tiny_causal, "generation", MEMBERS[:1])


@pytest.fixture
def served(tmp_path: Path, _classifier: Served) -> Served:
    """A workspace with a merged classifier, under a path that needs quoting everywhere."""
    return remake_elsewhere(_classifier, tmp_path / "work spaçe")


@pytest.fixture
def served_generator(tmp_path: Path, _generator: Served) -> Served:
    """A workspace with a merged causal language model."""
    return remake_elsewhere(_generator, tmp_path / "generator")


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """One Prefect server for all flows of this session, with a store of its own."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def _built(
    tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path, prefect_server: None
) -> Snapshot:
    from flows.build import build

    root = tmp_path_factory.mktemp("built") / "workspace"
    make_workspace(root, tiny_classifier, [[row for c in CONTRIBUTORS for row in reviews(c)]])
    build(root)
    return Snapshot.take(root)


@pytest.fixture
def built(_built: Snapshot) -> Workspace:
    """A workspace of twelve contributors as the real `build` flow left it, to change at will."""
    return _built.restore()
