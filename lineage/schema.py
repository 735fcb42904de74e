"""The schema of a store: numbered migrations applied once, views made anew every time."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from lineage.audit.log import audited_migration
from lineage.changes import insert
from lineage.errors import LineageSchemaError
from lineage.sql_files import Connection, Database, query, run
from sift_bytes import sha256_of


@dataclass(frozen=True)
class Migration:
    """One numbered SQL file: its number, name, text and the SHA-256 of that text."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, 64 hex characters."""
        return sha256_of(self.sql.encode())


@cache
def migrations() -> tuple[Migration, ...]:
    """Return the migrations this code knows, in order."""
    found = sorted(_sql_files("migrations").items())
    return tuple(Migration(int(name[:4]), name[5:], sql) for name, sql in found)


def definitions(some: Iterable[Migration]) -> list[str]:
    """Return the SQL that makes the tables of some migrations, and the one with their history."""
    return [query("create_schema_migration"), *(one.sql for one in some)]


def migrate(connection: Database, define: Callable[[str], object]) -> None:
    """Bring the store up to this code's schema, inside the caller's transaction.

    `define` runs the SQL that makes and alters tables; views are `make_views`. Raises
    LineageSchemaError if an applied migration was changed or is missing, or if the store is newer
    than this code.
    """
    known = migrations()
    if new := known[applied(connection) :]:
        with audited_migration(connection):
            _apply(connection, define, new)


def make_views(connection: Connection) -> None:
    """Make the views anew, over tables of this code's schema."""
    # By name: views 2_… rest on views 1_….
    for sql in _sql_files("views").values():
        connection.execute(sql)


def _apply(
    connection: Database, define: Callable[[str], object], new: tuple[Migration, ...]
) -> None:
    define("\n".join(definitions(new)))
    for migration in new:
        insert(
            connection,
            "schema_migration",
            ("version",),
            query("applied_migration"),
            version=migration.version,
            name=migration.name,
            sha256=migration.sha256,
            applied_at=datetime.now(UTC),
        )


def is_current(connection: Connection) -> bool:
    """Return whether the store has all migrations of this code."""
    return applied(connection) == len(migrations())


def require_current(connection: Connection) -> None:
    """Raise LineageSchemaError unless the store has exactly this code's schema."""
    known = migrations()
    there = applied(connection)
    if there < len(known):
        raise LineageSchemaError(
            f"the lineage store has {there} of the {len(known)} migrations of this version.",
            remedy="run `sift upgrade`: it brings the store up to date and keeps its rows.",
        )


def applied(connection: Connection) -> int:
    """Return how many migrations are applied, after checking that history agrees with ours.

    Raises LineageSchemaError where it does not.
    """
    known = migrations()
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
