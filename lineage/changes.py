"""Changing rows: one way for every table, in a file and in PostgreSQL alike.

What a change writes is said by a SELECT: each row that it adds, or the key of each row that it
alters and the columns that change, as they shall be. Which table it is for is said beside it, by
whoever calls. So no statement of ours is read again to learn what it does.
"""

from collections.abc import Sequence
from typing import Any, Literal

from lineage.sql_files import Database, run_text

# ruff: noqa: S608
# Every name put into SQL text below is a table or column name of our own schema; what came from
# outside is only ever in parameters.

Where = Literal["", "OR IGNORE", "OR REPLACE"]
"""What becomes of a row whose key is there already: an error, it stays, it is replaced."""
_ROWS = "changing"


def insert(
    connection: Database,
    table: str,
    key: Sequence[str],
    rows: str,
    there: Where = "",
    /,
    **values: object,
) -> list[tuple[Any, ...]]:
    """Add the `rows` of a SELECT to a table; the keys of those that were written."""
    if there == "OR IGNORE":
        rows = f"SELECT * FROM ({rows}) ANTI JOIN {table} USING ({', '.join(key)})"
    stage(connection, _ROWS, rows, **values)
    verb = "INSERT OR REPLACE" if there == "OR REPLACE" else "INSERT"
    connection.execute(f"{verb} INTO {connection.target(table)} BY NAME SELECT * FROM {_ROWS}")
    return _keys(connection, key)


def update(
    connection: Database, table: str, key: Sequence[str], rows: str, /, **values: object
) -> list[tuple[Any, ...]]:
    """Alter rows of a table to what the `rows` of a SELECT say; the keys of those rows."""
    columns = stage(connection, _ROWS, rows, **values)
    wanted = ", ".join(f"{name} = {_ROWS}.{name}" for name in columns if name not in key)
    same = " AND ".join(f"{table}.{name} = {_ROWS}.{name}" for name in key)
    connection.execute(f"UPDATE {connection.target(table)} SET {wanted} FROM {_ROWS} WHERE {same}")
    return _keys(connection, key)


def stage(connection: Database, name: str, rows: str, /, **values: object) -> list[str]:
    """Put the rows of a SELECT into a table of this connection's own; the names of its columns."""
    run_text(connection, f"CREATE OR REPLACE TEMP TABLE {name} AS {rows}", **values)
    return [column[0] for column in connection.execute(f"FROM {name} LIMIT 0").description]


def _keys(connection: Database, key: Sequence[str]) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT {', '.join(key)} FROM {_ROWS}").fetchall()
