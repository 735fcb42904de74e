"""Reading the audit log back: is it whole, and does it account for every row there is?

The chain alone shows what was altered, removed or reordered within it. That its end was cut off,
or that all of it was written anew, only somebody shows who noted an entry elsewhere: an `Anchor`.
"""

from collections.abc import Collection, Iterator

from lineage.audit.log import NOTHING_BEFORE, AuditEntryRecord, changes_by_table
from lineage.audit.rows import AuditedTable, audited_tables
from lineage.records import Record, Sha256, Text
from lineage.sql_files import Connection, run, run_text

# ruff: noqa: S608
# Every name put into SQL text below comes from the database's own catalogue.

_SHOWN = 10
"""Rows of a table that are named one by one; the others are counted."""
_RESTORE = "restore the lineage store from a backup that passes `sift audit`"
_ASK = f"{_RESTORE}; until then do not rely on what lineage says."


class Finding(Record):
    """Something that is not as it must be: where, what was found, and what to do."""

    where: Text
    found: Text
    remedy: Text


class Anchor(Record):
    """An entry of the audit log as somebody noted it elsewhere, `source`, in time."""

    seq: int
    sha256: Sha256
    source: Text


def check_chain(connection: Connection) -> Iterator[Finding]:
    """Find entries that were altered, removed or put elsewhere, and altered lines of theirs."""
    lines = changes_by_table(connection, first=1)
    previous, expected = NOTHING_BEFORE, 1
    for row in run(connection, "audit_entries"):
        entry = AuditEntryRecord(**row)
        where = f"audit log, entry {entry.seq}"
        if entry.seq != expected:
            missing = f"entries {expected} to {entry.seq - 1} are"
            if entry.seq - expected == 1:
                missing = f"entry {expected} is"
            yield Finding(where=where, found=f"{missing} missing before it.", remedy=_ASK)
        elif entry.previous_sha256 != previous:
            yield Finding(
                where=where, found="it does not hold the hash of the entry before.", remedy=_ASK
            )
        if entry.computed_sha256() != entry.sha256:
            yield Finding(
                where=where, found="it is not what was written: its hash differs.", remedy=_ASK
            )
        if entry.details != lines.pop(entry.seq, {}):
            yield Finding(
                where=where,
                found="its lines in audit_change are not those that were written.",
                remedy=_ASK,
            )
        previous, expected = entry.sha256, entry.seq + 1
    if expected == 1:
        yield Finding(where="audit log", found="it is empty.", remedy=_ASK)
    for seq in lines:
        yield Finding(
            where=f"audit_change, entry {seq}",
            found="there are lines of an entry that does not exist.",
            remedy=_ASK,
        )


def check_anchors(connection: Connection, anchors: Collection[Anchor]) -> Iterator[Finding]:
    """Find entries that were noted elsewhere and are other entries now, or none."""
    entries = {row["seq"]: row["sha256"] for row in run(connection, "audit_entries")}
    for anchor in anchors:
        found = entries.get(anchor.seq)
        if found is None:
            what = f"entry {anchor.seq}, which {anchor.source} names, is gone: the log was cut off."
        elif found != anchor.sha256:
            what = (
                f"entry {anchor.seq} is {found[:16]}…, {anchor.source} says {anchor.sha256[:16]}…."
            )
        else:
            continue
        yield Finding(where=f"audit log, entry {anchor.seq}", found=what, remedy=_ASK)


def check_rows(connection: Connection) -> Iterator[Finding]:
    """Find rows that are other than the log says: changed, added or deleted past a Recorder."""
    for table in audited_tables(connection).values():
        rows = run_text(connection, _unaccounted(table), table_name=table.name)
        for row in rows[:_SHOWN]:
            by = (
                f"entry {row['seq']} of the audit log"
                if row["seq"]
                else "no entry of the audit log"
            )
            yield Finding(
                where=f"{table.name} {row['row_key']}",
                found=f"the row was {row['what']} outside the platform; {by} speaks of it last.",
                remedy=f"{_RESTORE}, or find out who wrote to the file and put the row back.",
            )
        if len(rows) > _SHOWN:
            more = f"{len(rows) - _SHOWN} more rows of {table.name} are not as the log says."
            yield Finding(where=table.name, found=more, remedy=_ASK)
    for row in run(connection, "audit_breaks"):
        yield Finding(
            where=f"{row['table_name']} {row['row_key']}",
            found=f"the row had been changed outside the platform before entry {row['seq']}.",
            remedy=_ASK,
        )


def _unaccounted(table: AuditedTable) -> str:
    return f"""
        WITH recorded AS (
            SELECT row_key, last(after ORDER BY seq) AS digest, max(seq) AS seq
            FROM audit_change
            WHERE table_name = $table_name
            GROUP BY row_key
        ), present AS ({table.rows(table.name)})
        SELECT
            row_key,
            recorded.seq,
            CASE
                WHEN present.digest IS NULL THEN 'deleted'
                WHEN recorded.digest IS NULL THEN 'added'
                ELSE 'changed'
            END AS what
        FROM recorded
        FULL JOIN present USING (row_key)
        WHERE recorded.digest IS DISTINCT FROM present.digest
        ORDER BY row_key"""
