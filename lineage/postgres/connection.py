"""DuckDB over tables that lie in PostgreSQL: the same SQL, and what it cannot say put otherwise.

A session is a DuckDB database in memory. PostgreSQL's tables are attached to it as `shared`; views
of the same names stand where the tables of a file stand, so every query, view and recipe runs as it
is written. Three things differ, and all of them are here:

- types: PostgreSQL has no UBIGINT, writes DOUBLE otherwise, and DuckDB cannot update its JSON;
- RETURNING: DuckDB has it not for attached tables, so the rows are looked for before the change;
- the catalogue: types and keys are read from empty tables in memory, in the schema
  `declared`, that the migrations made as they make a file's tables.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from lineage.audit.rows import FORGOTTEN
from lineage.sql_files import Cursor, run

# ruff: noqa: S608
# Every name put into SQL text below is one of our own tables, columns or queries.

SCHEMA = "lineage"
"""The schema of PostgreSQL that the tables lie in."""
DECLARED, FORESEEN = "declared", "foreseen"
"""The catalogue as the store is, and as it will be when its migrations are applied."""
_TYPES = {"UBIGINT": "NUMERIC(20, 0)", "DOUBLE": "DOUBLE PRECISION", "JSON": "TEXT"}
"""DuckDB's type → the type of PostgreSQL that holds exactly the same values."""
_TYPE_NAME = re.compile(rf"\b({'|'.join(_TYPES)})\b")
_COMMENT = re.compile(r"^COMMENT ON .*?;$", re.MULTILINE | re.DOTALL)

_INSERT = re.compile(
    r"(?:--.*\n)*\s*INSERT(?P<again> OR \w+)? INTO (?P<table>\w+)"
    r"(?P<columns> BY NAME| \((?P<named>[^)]*)\)|)\s+(?P<rows>SELECT\b.*?)"
    r"(?:\s+RETURNING (?P<returned>[\w, ]+))?\s*",
    re.DOTALL,
)
_UPDATE = re.compile(
    r"\s*UPDATE (?P<table>\w+)\s+SET (?P<values>.*?)"
    r"(?:\nFROM (?P<other>\w+))?\nWHERE (?P<where>.*?)"
    r"(?:\s+RETURNING (?P<returned>[\w, \n]+))?\s*",
    re.DOTALL,
)
_VALUES = re.compile(r"\s*INSERT INTO (?P<table>\w+)(?P<rest> .*\bVALUES\b.*)", re.DOTALL)


@dataclass(frozen=True)
class Returned:
    """What a changing statement returned, as if it had a RETURNING of its own."""

    description: list[Any]
    rows: list[Any]

    def fetchall(self) -> list[Any]:
        """Return all rows."""
        return self.rows


class SharedConnection:
    """A session's connection: DuckDB's own, with statements that change PostgreSQL's tables."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._tables: frozenset[str] = frozenset()
        self.begin = connection.begin
        self.commit = connection.commit
        self.close = connection.close
        self.extract_statements = connection.extract_statements
        # For the queries that read the catalogue.
        connection.execute(f"SET VARIABLE declared = '{DECLARED}'")

    def cursor(self) -> "SharedConnection":
        """Another connection of this session, with a transaction of its own."""
        other = SharedConnection(self._connection.cursor())
        other._tables = self._tables
        return other

    def execute(self, text: str, parameters: object = None) -> Any:
        """Run one statement, or several that change no table of the store."""
        for form, change in ((_INSERT, self._insert), (_UPDATE, self._update)):
            found = form.fullmatch(text)
            if found and found["table"] in self._tables:
                return change(found.groupdict(), _named(parameters))
        if found := _VALUES.fullmatch(text):
            text = f"INSERT INTO {_shared(found['table'])}{found['rest']}"
        return self._connection.execute(text, parameters)

    def _insert(self, said: Mapping[str, str], parameters: dict[str, object]) -> Cursor:
        again, rows = said["again"] or "", said["rows"]
        change = f"INSERT{again} INTO {_shared(said['table'])}{said['columns']} {rows}"
        if not said["returned"]:
            return self._run(change, parameters)
        new = f"({rows}) AS new" + (f"({said['named']})" if said["named"] else "")
        # What OR IGNORE passes over is not written.
        passed = f"ANTI JOIN {said['table']} USING ({said['returned']})"
        unless = passed if again == " OR IGNORE" else ""
        returned = self._look(f"SELECT {said['returned']} FROM {new} {unless}", parameters)
        self._run(change, parameters)
        return returned

    def _update(self, said: Mapping[str, str], parameters: dict[str, object]) -> Cursor:
        table, where, other = said["table"], said["where"], said["other"]
        change = f"UPDATE {_shared(table)} SET {said['values']}"
        change += f" FROM {other} WHERE {where}" if other else f" WHERE {where}"
        if not said["returned"]:
            return self._run(change, parameters)
        # Keys: no update of ours changes one, so they are the same before and after.
        keys = ", ".join(f"{table}.{key.strip()}" for key in said["returned"].split(","))
        source = f"{_shared(table)} AS {table}" + (f", {other}" if other else "")
        returned = self._look(f"SELECT {keys} FROM {source} WHERE {where}", parameters)
        self._run(change, parameters)
        return returned

    def _look(self, text: str, parameters: dict[str, object]) -> Returned:
        cursor = self._run(text, parameters)
        return Returned(list(cursor.description), cursor.fetchall())

    def _run(self, text: str, parameters: dict[str, object]) -> duckdb.DuckDBPyConnection:
        used = set(re.findall(r"\$(\w+)", text))
        return self._connection.execute(
            text, {name: value for name, value in parameters.items() if name in used}
        )

    # ---- tables ------------------------------------------------------------------------------

    def define(self, sql: str) -> None:
        """Make or alter tables in PostgreSQL, by the text that does it in a file.

        `foresee` has told the catalogue of them: within a transaction that writes to PostgreSQL
        DuckDB writes to nothing else, but for temporary views.
        """
        comments = "\n".join(_COMMENT.findall(sql))
        types = _TYPE_NAME.sub(lambda found: _TYPES[found[0]], _COMMENT.sub("", sql))
        self._server(f"SET LOCAL search_path TO {SCHEMA}; {types}\n{comments}")
        self._connection.execute("CALL pg_clear_cache()")
        self._connection.execute(f"SET VARIABLE declared = '{FORESEEN}'")
        self.expose("TEMP ")
        for table, column in sorted(FORGOTTEN):
            # PostgreSQL shall sample no value that must be forgotten one day.
            self._server(f"ALTER TABLE {SCHEMA}.{table} ALTER COLUMN {column} SET STATISTICS 0")

    def declare(self, sql: str, schema: str = DECLARED) -> None:
        """Make or alter the empty tables of the catalogue."""
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS memory.{schema}")
        self._connection.execute(f"USE memory.{schema}")
        self._connection.execute(sql)
        self._connection.execute("USE memory.main")

    def expose(self, kind: str = "") -> None:
        """Put a view in the place of each declared table."""
        tables = [row["table_name"] for row in run(self._connection, "tables")]
        for table in tables:
            columns = run(self._connection, "table_columns", table_name=table)
            shown = ", ".join(
                f"CAST({name} AS {type_}) AS {name}" if type_ in _TYPES else name
                for name, type_ in ((row["column_name"], row["data_type"]) for row in columns)
            )
            self._connection.execute(
                f"CREATE OR REPLACE {kind}VIEW {table} AS SELECT {shown} FROM {_shared(table)}"
            )
        self._tables = frozenset(tables)

    def describe(self, texts: Iterable[str]) -> None:
        """Say of the views that stand for tables what these texts say of the tables."""
        for text in texts:
            for comment in _COMMENT.findall(text):
                self._connection.execute(comment.replace("COMMENT ON TABLE", "COMMENT ON VIEW"))

    def ask_server(self, question: str) -> list[Any]:
        """What PostgreSQL answers to a question in its own SQL."""
        asked = "FROM postgres_query('shared', $question)"
        return self._connection.execute(asked, {"question": question}).fetchall()

    def _server(self, statements: str) -> None:
        self._connection.execute("CALL postgres_execute('shared', ?)", [statements])


def _shared(table: str) -> str:
    return f"shared.{SCHEMA}.{table}"


def _named(parameters: object) -> dict[str, object]:
    return dict(parameters) if isinstance(parameters, dict) else {}
