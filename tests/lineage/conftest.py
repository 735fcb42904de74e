from pathlib import Path

import pytest

from lineage import LineageStore
from tests.lineage.population import empty_store, populate

# Making the tables takes longer than most tests: each kind of store is made once and copied.


@pytest.fixture(scope="session")
def _empty(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return empty_store(tmp_path_factory.mktemp("empty") / "lineage.duckdb").path.read_bytes()


@pytest.fixture(scope="session")
def _populated(tmp_path_factory: pytest.TempPathFactory, _empty: bytes) -> bytes:
    path = tmp_path_factory.mktemp("populated") / "lineage.duckdb"
    path.write_bytes(_empty)
    populate(LineageStore(path))
    return path.read_bytes()


@pytest.fixture
def store(tmp_path: Path, _empty: bytes) -> LineageStore:
    """An empty, migrated store that does not wait long for others."""
    path = tmp_path / "lineage.duckdb"
    path.write_bytes(_empty)
    return LineageStore(path, wait_seconds=0.5)


@pytest.fixture
def populated(store: LineageStore, _populated: bytes) -> LineageStore:
    """A store with the story of tests/lineage/population.py."""
    store.path.write_bytes(_populated)
    return store
