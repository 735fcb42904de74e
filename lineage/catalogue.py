"""What a store is made of, held against what our own files make: nothing else, and nothing changed.

Whoever can write the store's file could put a view of their own in the place of ours, and every
question would be answered by it. So tables, columns, views, and all else that a database can hold
are compared by their texts whenever a store is opened.

DuckDB lets a macro take the name of a built-in function. So the catalogue is asked by functions
under their full names, and no other function is used.
"""

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb

from lineage import schema
from lineage.errors import LineageAlteredError
from lineage.sql_files import Connection

# ruff: noqa: S608
# Every name put into SQL text below stands in this file.

_ASKED = {
    "schema": ("schemas", "schema_name, NULL", "schema_name, sql, comment"),
    "table": ("tables", "schema_name, table_name", "sql, comment, temporary"),
    "view": ("views", "schema_name, view_name", "sql, comment, temporary"),
    "column": (
        "columns",
        "schema_name, table_name",
        "column_name, column_index, data_type, is_nullable, column_default, comment",
    ),
    "constraint": ("constraints", "schema_name, table_name", "constraint_type, constraint_text"),
    "index": ("indexes", "schema_name, index_name", "table_name, sql, comment"),
    "sequence": ("sequences", "schema_name, sequence_name", "sql, comment"),
    "type": ("types", "schema_name, type_name", "logical_type, labels, comment"),
    "function": (
        "functions",
        "schema_name, function_name",
        "function_type, parameters, macro_definition, comment",
    ),
}
"""Kind → DuckDB's function that lists it, what names one, and what it is."""
_NONE_INTERNAL = {"constraint", "index", "sequence"}
_OURS = "NOT (database_name = 'system')"
_REMEDY = (
    "do not rely on what it says: somebody wrote to it past the platform. Restore the store from a "
    "backup, then run `sift audit`."
)


@dataclass(frozen=True)
class Thing:
    """One thing that a database holds, and the texts that say what it is."""

    kind: str
    name: str
    texts: tuple[str, ...]


def catalogue(connection: Connection) -> frozenset[Thing]:
    """Everything that a database of DuckDB holds beside DuckDB's own."""
    found = set()
    for kind, (function, names, texts) in _ASKED.items():
        ours = _OURS if kind in _NONE_INTERNAL else f"{_OURS} AND NOT internal"
        asked = f"SELECT {names}, {texts} FROM system.main.duckdb_{function}() WHERE {ours}"
        for schema_name, name, *said in connection.execute(asked).fetchall():
            where = [part for part in (schema_name, name) if part not in ("main", None)]
            found.add(Thing(kind, ".".join(where) or "main", tuple(map(str, said))))
    return frozenset(found)


def own_catalogue() -> frozenset[Thing]:
    """What our migrations and views make."""
    return _made_by(schema.migrations())


@cache
def _made_by(migrations: tuple[schema.Migration, ...]) -> frozenset[Thing]:
    """What is in a file that was made and closed: reading it again spells some texts otherwise."""
    with tempfile.TemporaryDirectory(prefix="sift-catalogue-") as folder:
        path = Path(folder) / "made.duckdb"
        with duckdb.connect(path) as connection:
            connection.begin()
            for sql in schema.definitions(migrations):
                connection.execute(sql)
            schema.make_views(connection)
            connection.commit()
        with duckdb.connect(path, read_only=True) as connection:
            return catalogue(connection)


def require_own(found: frozenset[Thing], own: frozenset[Thing]) -> None:
    """Raise LineageAlteredError, naming the first thing, unless both are the same."""
    if found == own:
        return
    there = {(one.kind, one.name) for one in found}
    known = {(one.kind, one.name) for one in own}
    kinds = list(_ASKED)
    odd = min(found ^ own, key=lambda one: (kinds.index(one.kind), one.name, one.texts))
    name = f"{odd.kind} {odd.name}"
    if (odd.kind, odd.name) not in known:
        what = f"it holds the {name}, which this version does not make"
    elif (odd.kind, odd.name) not in there:
        what = f"the {name} is not in it"
    else:
        what = f"the {name} is not what this version makes"
    raise LineageAlteredError(
        f"the lineage store was altered: {what} ({len(found ^ own)} differences).", remedy=_REMEDY
    )
