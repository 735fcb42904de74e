"""The audit log: every transaction that changes a row appends one entry, hash-chained.

A `Recorder` writes through an `AuditedConnection`, so that a new method is recorded without
knowing of it. At the end of the transaction the rows it touched are compared with what they were
at its start, and the entry becomes part of the same transaction.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import duckdb

from lineage import changes
from lineage.audit.rows import AuditedTable, audited_tables
from lineage.errors import LineageWriteError
from lineage.records import Json, Record, Sha256, Text
from lineage.sql_files import Connection, Cursor, Database, as_json, query, run, run_text
from lineage.times import Utc
from sift_bytes import canonical_json, sha256_of

# ruff: noqa: S608
# Every name put into SQL text below comes from the database's own catalogue.

FORMAT = "sift-audit-entry/1"
NOTHING_BEFORE = "0" * 64
BEGAN, MIGRATED = "began", "migrated"


class AuditEntryRecord(Record):
    """One entry of the audit log; `details` says, by table, how many rows and their digest."""

    seq: int
    written_at: Utc
    event: Text
    details: Json
    previous_sha256: Sha256
    sha256: Sha256

    def computed_sha256(self) -> str:
        """SHA-256 of the canonical form: what `sha256` must be."""
        return entry_sha256(
            self.seq, self.written_at, self.event, self.details, self.previous_sha256
        )


def entry_sha256(
    seq: int, written_at: datetime, event: str, details: dict[str, Any], previous_sha256: str
) -> str:
    """SHA-256 of an entry: of its JSON in UTF-8, names sorted, no spaces, time in microseconds."""
    content = {
        "format": FORMAT,
        "seq": seq,
        "written_at": written_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "event": event,
        "details": details,
        "previous_sha256": previous_sha256,
    }
    return sha256_of(canonical_json(content).encode())


class AuditedConnection:
    """Runs statements within one transaction and notes the key of every row they change.

    `connection` writes; `before` sees the store as it was when the transaction began; `tables` are
    those that the log follows.
    """

    def __init__(
        self, connection: Database, before: Database, tables: Mapping[str, AuditedTable]
    ) -> None:
        self._connection = connection
        self._before = before
        self.tables = tables
        self._touched: dict[str, set[tuple[Any, ...]]] = {}
        self._events: list[str] = []

    def execute(self, text: str, parameters: object = None) -> Cursor:
        """Run a statement that changes nothing. Raises LineageWriteError for any other."""
        (statement,) = self._connection.extract_statements(text)
        if statement.type != duckdb.StatementType.SELECT:
            raise LineageWriteError(
                f"a statement ({statement.type.name}) is not one that the audit log can follow.",
                remedy="call `insert` or `update` with a SELECT of the rows as they shall be.",
            )
        return self._connection.execute(text, parameters)

    def stage(self, name: str, rows: str, /, **values: object) -> None:
        """Put the rows of a SELECT into a table of this connection's own."""
        changes.stage(self._connection, name, rows, **values)

    def insert(
        self, table: str, rows: str, there: changes.Where = "", /, **values: object
    ) -> list[tuple[Any, ...]]:
        """Add the rows of a SELECT to a table that the log follows; their keys."""
        key = self.tables[table].key
        return self._noted(
            "add", table, changes.insert(self._connection, table, key, rows, there, **values)
        )

    def update(self, table: str, rows: str, /, **values: object) -> list[tuple[Any, ...]]:
        """Alter rows of a table that the log follows, as the rows of a SELECT say; their keys."""
        key = self.tables[table].key
        return self._noted(
            "update", table, changes.update(self._connection, table, key, rows, **values)
        )

    def _noted(self, verb: str, table: str, keys: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        if keys:
            self._touched.setdefault(table, set()).update(keys)
            if (event := f"{verb} {table}") not in self._events:
                self._events.append(event)
        return keys

    def append_entry(self) -> None:
        """Append the entry of this transaction; none if no row is other than it was."""
        seq = next_seq(self._connection)
        before_rows = query("audit_changes")
        changed = 0
        for name, touched in sorted(self._touched.items()):
            table = self.tables[name]
            keys = as_json(dict(zip(table.key, key, strict=True)) for key in touched)
            before = run_text(self._before, table.rows(table.having("$keys")), keys=keys)
            changed += len(
                _add_changes(
                    self._connection,
                    f"{before_rows} FULL JOIN"
                    f" ({table.rows(table.having('$keys'))}) AS new USING (row_key)"
                    " WHERE old.digest IS DISTINCT FROM new.digest",
                    seq=seq,
                    table_name=name,
                    before=as_json(before),
                    keys=keys,
                )
            )
        if changed:
            append(self._connection, seq, ", ".join(self._events))


def _add_changes(connection: Database, rows: str, /, **values: object) -> list[tuple[Any, ...]]:
    return changes.insert(
        connection, "audit_change", ("seq", "table_name", "row_key"), rows, **values
    )


@contextmanager
def audited(
    connection: Database, tables: Mapping[str, AuditedTable]
) -> Iterator[AuditedConnection]:
    """Begin a transaction, give the connection to write through, append the entry, commit.

    On an error nothing is committed; closing the connection rolls it back.
    """
    before = connection.cursor()
    try:
        before.begin()
        # A transaction sees the store as of its first look, not of BEGIN.
        run(before, "audit_head")
        connection.begin()
        writing = AuditedConnection(connection, before, tables)
        yield writing
        writing.append_entry()
    finally:
        before.close()
    connection.commit()


@contextmanager
def audited_migration(connection: Database) -> Iterator[None]:
    """Append an entry on all rows that the migrations within have added or changed.

    A store that had no log begins one with the digest of every row it holds.
    """
    had_log = run(connection, "has_table", table_name="audit_entry")[0]["found"]
    known = audited_tables(connection) if had_log else {}
    for name, table in known.items():
        connection.execute(f"CREATE TEMP TABLE before_{name} AS {table.rows(name)}")
    yield
    seq = next_seq(connection)
    for name, table in audited_tables(connection).items():
        before = (
            f"before_{name}" if name in known else "(SELECT '' AS row_key, '' AS digest LIMIT 0)"
        )
        _add_changes(
            connection,
            "SELECT CAST($seq AS BIGINT) AS seq, $table_name AS table_name, row_key,"
            " old.digest AS before, new.digest AS after"
            f" FROM {before} AS old FULL JOIN ({table.rows(name)}) AS new USING (row_key)"
            " WHERE old.digest IS DISTINCT FROM new.digest",
            seq=seq,
            table_name=name,
        )
    append(connection, seq, MIGRATED if had_log else BEGAN)
    for name in known:
        connection.execute(f"DROP TABLE before_{name}")


def next_seq(connection: Database) -> int:
    """The number of the next entry."""
    head = run(connection, "audit_head")
    return head[0]["seq"] + 1 if head else 1


def append(connection: Database, seq: int, event: str) -> None:
    """Append the entry of the rows that stand in `audit_change` under `seq`."""
    head = run(connection, "audit_head")
    previous = head[0]["sha256"] if head else NOTHING_BEFORE
    now = datetime.now(UTC)
    details = changes_by_table(connection, seq).get(seq, {})
    changes.insert(
        connection,
        "audit_entry",
        ("seq",),
        query("audit_entry"),
        seq=seq,
        written_at=now,
        event=event,
        details=json.dumps(details),
        previous_sha256=previous,
        sha256=entry_sha256(seq, now, event, details, previous),
    )


def changes_by_table(connection: Connection, first: int) -> dict[int, dict[str, dict[str, Any]]]:
    """Return {seq: {table: {"rows": count, "sha256": digest}}} of the changes from `first` on."""
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for row in run(connection, "audit_change_digests", first=first):
        found.setdefault(row["seq"], {})[row["table_name"]] = {
            "rows": row["rows"],
            "sha256": row["sha256"],
        }
    return found
