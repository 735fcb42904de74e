"""Finished merges, made once and copied for each test."""

from pathlib import Path

import pytest

from tests.flows.served import MEMBERS, Served, finished_merge, remake_elsewhere


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
