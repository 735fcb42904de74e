"""SQL files in, rows out: the border between DuckDB and the records.

DuckDB's TIMESTAMP carries no zone, and its TIMESTAMP WITH TIME ZONE needs an extension. The store
therefore keeps UTC without a zone, and this module is the one place that adds and strips it.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any, Protocol, TypeVar

import duckdb
from pydantic_core import to_json

from lineage.records import Record, Row

SomeRecord = TypeVar("SomeRecord", bound=Record)


class Cursor(Protocol):
    """What a statement gives."""

    @property
    def description(self) -> list[Any]:
        """One tuple a column: name, type and so on."""

    def fetchall(self) -> list[Any]:
        """Return all rows."""


class Connection(Protocol):
    """What runs a statement: DuckDB's own connection, or one that is audited."""

    def execute(self, query: str, parameters: object = None) -> Cursor:
        """Run one statement."""


class Database(Connection, Protocol):
    """A connection with transactions: to a file, or a session over PostgreSQL."""

    def begin(self) -> object:
        """Begin a transaction."""

    def commit(self) -> object:
        """End it, keeping what it changed."""

    def close(self) -> object:
        """End the connection; what was not committed is rolled back."""

    def cursor(self) -> "Database":
        """Give another connection to the same store, with a transaction of its own."""

    def extract_statements(self, query: str) -> list[Any]:
        """Parse statements without running them."""

    def target(self, table: str) -> str:
        """Return the name by which a table is written to."""


class FileDatabase:
    """DuckDB's own connection to a file: a table is written to by the name it is read by."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.execute = connection.execute
        self.begin = connection.begin
        self.commit = connection.commit
        self.close = connection.close
        self.extract_statements = connection.extract_statements

    def cursor(self) -> "FileDatabase":
        """Another connection to the same file, with a transaction of its own."""
        return FileDatabase(self._connection.cursor())

    def target(self, table: str) -> str:
        """The table's name."""
        return table


@cache
def query(name: str) -> str:
    """Return the text of `queries/<name>.sql`."""
    return (files("lineage") / "queries" / f"{name}.sql").read_text(encoding="utf-8")


def run(connection: Connection, name: str, /, **values: object) -> list[dict[str, Any]]:
    """Run a named query with `$name` parameters; return its rows as dicts of Python values."""
    return run_text(connection, query(name), **values)


def records(
    connection: Connection, record: type[SomeRecord], name: str, /, **values: object
) -> list[SomeRecord]:
    """Run a named query; return its rows as records."""
    return [record(**row) for row in run(connection, name, **values)]


def run_text(connection: Connection, text: str, /, **values: object) -> list[dict[str, Any]]:
    """Run SQL text as `run` does."""
    cursor = connection.execute(text, {name: _to_store(value) for name, value in values.items()})
    names = [column[0] for column in cursor.description]
    is_json = [str(column[1]) == "JSON" for column in cursor.description]
    return [
        {
            name: _from_store(value, as_json)
            for name, value, as_json in zip(names, row, is_json, strict=True)
        }
        for row in cursor.fetchall()
    ]


def as_json(rows: Iterable[Row | dict[str, Any]]) -> str:
    """Return rows as one JSON array: the fast way to hand DuckDB many of them in one parameter."""
    return to_json(list(rows)).decode()


def _to_store(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def _from_store(value: Any, is_json: bool) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    if is_json and value is not None:
        return json.loads(value)
    return value
