"""DuckDB over tables that lie in PostgreSQL: the same SQL, and what it cannot say put otherwise.

A session is a DuckDB database in memory. PostgreSQL's tables are attached to it as `shared`; views
of the same names stand where the tables of a file stand, so every query, view and recipe runs as it
is written. Three things differ, and all of them are here:

- types: PostgreSQL has no UBIGINT, writes DOUBLE otherwise, and DuckDB cannot update its JSON;
- names: what is written to is not the view, but the table behind it;
- the catalogue: types and keys are read from empty tables in memory, in the schema
  `declared`, that the migrations made as they make a file's tables.
"""

from typing import Any

import duckdb

from lineage.audit.rows import FORGOTTEN
from lineage.postgres.definition import CAST, definitions, quoted, statements
from lineage.sql_files import run

# ruff: noqa: S608
# Every name put into SQL text below is one of our own tables, columns or queries.

SCHEMA = "lineage"
"""The schema of PostgreSQL that the tables lie in."""
DECLARED, FORESEEN = "declared", "foreseen"
"""The catalogue as the store is, and as it will be when its migrations are applied."""


class SharedConnection:
    """A session's connection: DuckDB's own, with statements that change PostgreSQL's tables."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.execute = connection.execute
        self.begin = connection.begin
        self.commit = connection.commit
        self.close = connection.close
        self.extract_statements = connection.extract_statements
        # For the queries that read the catalogue.
        connection.execute(f"SET VARIABLE declared = '{DECLARED}'")

    def cursor(self) -> "SharedConnection":
        """Another connection of this session, with a transaction of its own."""
        return SharedConnection(self._connection.cursor())

    def target(self, table: str) -> str:
        """The table of PostgreSQL behind the view that stands for it."""
        return _shared(table)

    # ---- tables ------------------------------------------------------------------------------

    def define(self) -> None:
        """Make or alter PostgreSQL's tables: what is foreseen and not there yet.

        The catalogue was told before (`declare`): within a transaction that writes to PostgreSQL
        DuckDB writes to nothing else, but for temporary views.
        """
        there, wanted = (definitions(self, schema) for schema in (DECLARED, FORESEEN))
        self._server(";\n".join(statements(there, wanted, SCHEMA)))
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
                f"CAST({name} AS {type_}) AS {name}" if type_ in CAST else name
                for name, type_ in ((row["column_name"], row["data_type"]) for row in columns)
            )
            self._connection.execute(
                f"CREATE OR REPLACE {kind}VIEW {table} AS SELECT {shown} FROM {_shared(table)}"
            )

    def describe(self) -> None:
        """Say of the views that stand for tables what the catalogue says of the tables."""
        for name, table in definitions(self, DECLARED).items():
            self._connection.execute(f"COMMENT ON VIEW {name} IS {quoted(table.comment)}")
            for column, one in table.columns.items():
                said = quoted(one.comment)
                self._connection.execute(f"COMMENT ON COLUMN {name}.{column} IS {said}")

    def ask_server(self, question: str) -> list[Any]:
        """What PostgreSQL answers to a question in its own SQL."""
        asked = "FROM postgres_query('shared', $question)"
        return self._connection.execute(asked, {"question": question}).fetchall()

    def _server(self, statements: str) -> None:
        self._connection.execute("CALL postgres_execute('shared', ?)", [statements])


def _shared(table: str) -> str:
    return f"shared.{SCHEMA}.{table}"
