from pathlib import Path

import pytest

from lineage import Store
from tests.support.lineage_stores import Copies, Databases, Engine, Files
from tests.support.population import populate


@pytest.fixture(scope="session", params=["file", pytest.param("postgres", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Where stores lie. What is only of files has a fixture of this name of its own."""
    if request.param == "file":
        return Files()
    return Databases(request.getfixturevalue("postgres_server"))


@pytest.fixture(scope="session")
def _empty(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Copies:
    return engine.kept(lambda store: None, tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="session")
def _populated(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Copies:
    return engine.kept(populate, tmp_path_factory.mktemp("populated"))


@pytest.fixture
def store(tmp_path: Path, _empty: Copies) -> Store:
    """An empty, migrated store that does not wait long for others."""
    return _empty(tmp_path)


@pytest.fixture
def populated(tmp_path: Path, _populated: Copies) -> Store:
    """A store with the story of tests/support/population.py."""
    return _populated(tmp_path)
