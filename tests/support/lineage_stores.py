"""Where a store of a test lies: in a file, or in a database of a real PostgreSQL server."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import duckdb
import pytest

from lineage import LineageStore, SharedLineageStore, Store
from lineage.postgres.store import extension

if TYPE_CHECKING:
    from tests.support.servers import Postgres

Copies = Callable[[Path], Store]
"""Gives the store afresh, as it was when it was kept, in a folder of the test's own."""


class Engine(Protocol):
    """Makes stores, and makes each once: copying costs less than filling one anew."""

    def kept(self, fill: Callable[[Store], None], folder: Path) -> Copies:
        """Make a store, fill it, and give copies of it."""


class Files:
    """Stores that are files."""

    def kept(self, fill: Callable[[Store], None], folder: Path) -> Callable[[Path], LineageStore]:
        """Make a store in `folder`, fill it, and give copies of it."""
        first = LineageStore(folder / "lineage.duckdb")
        first.migrate()
        fill(first)
        content = first.path.read_bytes()

        def copy(own: Path) -> LineageStore:
            path = own / "lineage.duckdb"
            path.write_bytes(content)
            return LineageStore(path, wait_seconds=0.5)

        return copy


class Databases:
    """Stores that are databases of a server."""

    def __init__(self, server: "Postgres", name: str = "lineage") -> None:
        self._server = server
        self._names = (f"{name}_{number}" for number in count(1))

    def kept(
        self, fill: Callable[[Store], None], folder: Path
    ) -> Callable[[Path], SharedLineageStore]:
        """Make a store, fill it, and give copies of it; folders are not used."""
        first = next(self._names)
        self._server.create(first)
        store = SharedLineageStore(self._server.url(first))
        store.migrate()
        fill(store)

        def copy(own: Path) -> SharedLineageStore:
            name = next(self._names)
            self._server.run(f"CREATE DATABASE {name} TEMPLATE {first}")
            return SharedLineageStore(self._server.url(name), wait_seconds=0.5)

        return copy


def tamper(store: Store, *statements: str) -> None:
    """Change rows behind everybody's back."""
    if isinstance(store, LineageStore):
        with duckdb.connect(str(store.path)) as connection:
            for statement in statements:
                connection.execute(statement)
        return
    assert isinstance(store, SharedLineageStore)
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"LOAD '{extension()}'")
        connection.execute(f"ATTACH '{store.url}' AS shared (TYPE postgres)")
        connection.execute("USE shared.lineage")
        for statement in statements:
            connection.execute(statement)


def openings(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each opening of a file from now on was for reading only."""
    found: list[bool] = []
    really_open = LineageStore._open

    def counted(store: LineageStore, read_only: bool, *rest: Any) -> duckdb.DuckDBPyConnection:
        found.append(read_only)
        return really_open(store, read_only, *rest)

    monkeypatch.setattr(LineageStore, "_open", counted)
    return found
