"""What the audit log says of a row: its key, and a digest of its values.

A digest is the first 32 hex digits of the SHA-256 of a JSON array of strings: the name of the
table, then name and value of each column that is not NULL, by name. So a column that a later
version adds changes no digest as long as it is NULL. Values are written as DuckDB casts them to
text, a DOUBLE as its 64 bits, a TIMESTAMP as microseconds since 1970.

What must be forgotten one day has no digest, since a name could be guessed and tried: the columns
in `FORGOTTEN`. `sift audit` checks these against the files and the secret of the
workspace instead.
"""

import json
from dataclasses import dataclass

from lineage.errors import LineageSchemaError
from lineage.sql_files import Connection, run

# ruff: noqa: S608
# Every name put into SQL text below comes from the database's own catalogue.

FORGOTTEN = frozenset({("contributor", "external_id"), ("dataset_records", "records")})


@dataclass(frozen=True)
class AuditedTable:
    """A table of the store: its columns with their types, and those that are its key."""

    name: str
    columns: dict[str, str]
    key: tuple[str, ...]

    def rows(self, source: str) -> str:
        """SQL that gives (row_key, digest) of each row of `source`, which has our columns."""
        key = ", ".join(f"CAST({name} AS VARCHAR)" for name in self.key)
        values = " || ".join(
            f"coalesce(',\"{name}\",' || to_json({_as_text(name, self.columns[name])}), '')"
            for name in sorted(self.columns)
            if (self.name, name) not in FORGOTTEN
        )
        return (
            f"SELECT CAST(to_json([{key}]) AS VARCHAR) AS row_key,"
            f" left(sha256('[\"{self.name}\"' || {values} || ']'), 32) AS digest FROM {source}"
        )

    def having(self, keys: str) -> str:
        """SQL that gives the rows of this table with these keys, a JSON array of objects."""
        structure = json.dumps([{name: self.columns[name] for name in self.key}])
        return (
            f"(FROM {self.name} SEMI JOIN (SELECT unnest(from_json_strict({keys}, '{structure}'),"
            f" max_depth := 2)) AS touched USING ({', '.join(self.key)}))"
        )


def audited_tables(connection: Connection) -> dict[str, AuditedTable]:
    """Return every table whose changes the audit log records: all but its own two.

    Raises LineageSchemaError for a table without a primary key: its rows could not be told apart.
    """
    tables = {}
    for row in run(connection, "audited_tables"):
        if row["key"] is None:
            raise LineageSchemaError(
                f"the table {row['table_name']} has no primary key.",
                remedy="give it one in its migration: the audit log names rows by it.",
            )
        columns = dict(zip(row["columns"], row["types"], strict=True))
        tables[row["table_name"]] = AuditedTable(row["table_name"], columns, tuple(row["key"]))
    return tables


def _as_text(name: str, kind: str) -> str:
    # Whatever DuckDB may print otherwise in a later version is put down to what cannot change.
    exact = {"DOUBLE": f"CAST({name} AS BIT)", "TIMESTAMP": f"epoch_us({name})"}
    return f"CAST({exact.get(kind, name)} AS VARCHAR)"
