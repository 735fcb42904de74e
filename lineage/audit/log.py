"""The audit log: every transaction that changes a row appends one entry, hash-chained.

A `Recorder` writes through an `AuditedConnection`, so that a new method is recorded without
knowing of it. At the end of the transaction the rows it touched are compared with what they were
at its start, and the entry becomes part of the same transaction.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb

from lineage.audit.rows import AuditedTable, audited_tables
from lineage.errors import LineageWriteError
from lineage.records import Json, Record, Sha256, Text
from lineage.sql_files import Connection, Database, as_json, query, run, run_text
from lineage.times import Utc

# ruff: noqa: S608
# Every name put into SQL text below comes from the database's own catalogue.

FORMAT = "sift-audit-entry/1"
NOTHING_BEFORE = "0" * 64
BEGAN, MIGRATED = "began", "migrated"

_LOOKS = {duckdb.StatementType.SELECT}
_VERBS = {
    duckdb.StatementType.INSERT: "add",
    duckdb.StatementType.UPDATE: "update",
    duckdb.StatementType.DELETE: "delete",
}
_TARGET = re.compile(r"\s*(?:INSERT(?: OR \w+)? INTO|UPDATE|DELETE FROM)\s+(\w+)", re.IGNORECASE)
_TEMPORARY = re.compile(r"\s*CREATE OR REPLACE TEMP TABLE\s", re.IGNORECASE)


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
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Answer:
    """What a statement gave, read whole."""

    description: list[tuple[Any, ...]]
    rows: list[tuple[Any, ...]]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows."""
        return self.rows


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

    def execute(self, text: str, parameters: object = None) -> Answer:
        """Run one statement. Raises LineageWriteError for one that cannot be audited.

        A statement that changes rows returns their key columns, after what it returns itself.
        """
        (statement,) = self._connection.extract_statements(text)
        if statement.type in _LOOKS or _TEMPORARY.match(text):
            return self._run(text, parameters)
        found = _TARGET.match(text)
        verb = _VERBS.get(statement.type)
        if verb is None or found is None or found[1] not in self.tables:
            raise LineageWriteError(
                f"a statement ({statement.type.name}) is not one that the audit log can follow.",
                remedy="write it as INSERT INTO, UPDATE or DELETE FROM a table of the store.",
            )
        return self._change(self.tables[found[1]], verb, text, parameters)

    def _change(self, table: AuditedTable, verb: str, text: str, parameters: object) -> Answer:
        more = ", " if re.search(r"\bRETURNING\b", text) else " RETURNING "
        # On a line of its own: the text may end in a comment.
        answer = self._run(f"{text}\n{more}{', '.join(table.key)}", parameters)
        if answer.rows:
            size = len(table.key)
            self._touched.setdefault(table.name, set()).update(row[-size:] for row in answer.rows)
            event = f"{verb} {table.name}"
            if event not in self._events:
                self._events.append(event)
        return answer

    def _run(self, text: str, parameters: object) -> Answer:
        cursor = self._connection.execute(text, parameters)
        return Answer(cursor.description, cursor.fetchall())

    def append_entry(self) -> None:
        """Append the entry of this transaction; none if no row is other than it was."""
        seq = next_seq(self._connection)
        insert = query("insert_audit_changes")
        changed = 0
        for name, touched in sorted(self._touched.items()):
            table = self.tables[name]
            keys = as_json(dict(zip(table.key, key, strict=True)) for key in touched)
            before = run_text(self._before, table.rows(table.having("$keys")), keys=keys)
            added = run_text(
                self._connection,
                f"{insert} FULL JOIN ({table.rows(table.having('$keys'))}) AS new USING (row_key)"
                " WHERE old.digest IS DISTINCT FROM new.digest",
                seq=seq,
                table_name=name,
                before=as_json(before),
                keys=keys,
            )
            changed += added[0]["Count"]
        if changed:
            append(self._connection, seq, ", ".join(self._events))


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
        run_text(
            connection,
            f"INSERT INTO audit_change SELECT $seq, '{name}', row_key, old.digest, new.digest"
            f" FROM {before} AS old FULL JOIN ({table.rows(name)}) AS new USING (row_key)"
            " WHERE old.digest IS DISTINCT FROM new.digest",
            seq=seq,
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
    run(
        connection,
        "insert_audit_entry",
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
