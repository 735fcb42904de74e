"""The schema of a store: numbered migrations applied once, views made anew every time."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

import duckdb

from lineage.audit_log import audited_migration
from lineage.errors import LineageSchemaError
from lineage.statements import query, run


@dataclass(frozen=True)
class Migration:
    """One numbered SQL file: its number, name, text and the SHA-256 of that text."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, 64 hex characters."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@cache
def migrations() -> tuple[Migration, ...]:
    """Return the migrations this code knows, in order."""
    found = sorted(_sql_files("migrations").items())
    return tuple(Migration(int(name[:4]), name[5:], sql) for name, sql in found)


def migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Bring the store up to this code's schema, inside the caller's transaction.

    Raises LineageSchemaError if an applied migration was changed or is missing, or if the store
    is newer than this code.
    """
    known = migrations()
    if new := known[_applied(connection, known) :]:
        with audited_migration(connection):
            _apply(connection, new)
    # By name: views 2_… rest on views 1_….
    for sql in _sql_files("views").values():
        connection.execute(sql)


def _apply(connection: duckdb.DuckDBPyConnection, new: tuple[Migration, ...]) -> None:
    connection.execute(query("create_schema_migration"))
    for migration in new:
        connection.execute(migration.sql)
        run(
            connection,
            "insert_schema_migration",
            version=migration.version,
            name=migration.name,
            sha256=migration.sha256,
            applied_at=datetime.now(UTC),
        )


def require_current(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise LineageSchemaError unless the store has exactly this code's schema."""
    known = migrations()
    applied = _applied(connection, known)
    if applied < len(known):
        raise LineageSchemaError(
            f"the lineage store has {applied} of the {len(known)} migrations of this version.",
            remedy="run `sift upgrade`: it brings the store up to date and keeps its rows.",
        )


def is_outdated(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether an older release wrote the store. Raises LineageSchemaError as `migrate` does."""
    known = migrations()
    return _applied(connection, known) < len(known)


def _applied(connection: duckdb.DuckDBPyConnection, known: tuple[Migration, ...]) -> int:
    """Return how many of `known` are applied, after checking that history agrees with them."""
    has_history = run(connection, "has_table", table_name="schema_migration")[0]["found"]
    rows = run(connection, "schema_migrations") if has_history else []
    if len(rows) > len(known):
        raise LineageSchemaError(
            f"the lineage store is newer than this version: it has migration"
            f" {rows[-1]['version']}, this version knows {len(known)}.",
            remedy="install the version of sift-masks that wrote it, or a newer one.",
        )
    for row, migration in zip(rows, known, strict=False):
        if (row["version"], row["sha256"]) != (migration.version, migration.sha256):
            raise LineageSchemaError(
                f"migration {migration.version} ({migration.name}) is not the one that was"
                f" applied to this store (migration {row['version']}, sha256 {row['sha256']}).",
                remedy="restore the file lineage/migrations as released:"
                " an applied migration is never edited.",
            )
    return len(rows)


def _sql_files(folder: str) -> dict[str, str]:
    """Return {file name without .sql: text} of a folder of this package, by name."""
    entries = sorted((files("lineage") / folder).iterdir(), key=lambda entry: entry.name)
    return {
        entry.name.removesuffix(".sql"): entry.read_text(encoding="utf-8")
        for entry in entries
        if entry.name.endswith(".sql")
    }
