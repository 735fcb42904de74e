"""Adding records to their tables: any number of them in one statement, values as parameters only.

DuckDB's executemany costs about a millisecond a row, so all rows travel as one JSON parameter and
are unpacked by the database, against the column types of the table they go to.
"""

import json
from collections.abc import Sequence

from lineage.audit.log import AuditedConnection
from lineage.errors import LineageConflictError
from lineage.records import Row
from lineage.sql_files import Connection, as_json, run_text

# ruff: noqa: S608
# Every name put into SQL text below is a table or column name of our own schema; what came from
# outside is only ever in the parameter $rows.


def add_rows(connection: AuditedConnection, rows: Sequence[Row]) -> int:
    """Add rows of one type by the rule `again` of that type; return how many were written.

    Raises LineageConflictError if two of them share a key, or if a live row says otherwise.
    """
    record = type(rows[0])
    _refuse_twins(rows)
    columns = connection.tables[record.table].columns
    # Read once, for it is the reading of JSON that costs.
    connection.stage(
        "incoming",
        f"SELECT unnest(from_json_strict($rows, '{json.dumps([columns])}'), max_depth := 2)",
        rows=as_json(rows),
    )
    if record.again == "refuse":
        _refuse_contradiction(connection, record, columns)
    unchanged = "" if record.again != "refuse" else f"WHERE NOT EXISTS ({_live_row(record)})"
    written = connection.insert(
        record.table,
        f"SELECT incoming.* FROM incoming {unchanged}",
        "OR IGNORE" if record.again == "keep" else "OR REPLACE",
    )
    return len(written)


def add_row(connection: AuditedConnection, row: Row) -> bool:
    """Add one row as `add_rows` does; False if the store has it already."""
    return add_rows(connection, [row]) == 1


def _refuse_twins(rows: Sequence[Row]) -> None:
    seen = set()
    for row in rows:
        key = tuple(getattr(row, name) for name in row.key)
        if key in seen:
            raise _conflict(type(row), key, "is given twice at once")
        seen.add(key)


def _refuse_contradiction(
    connection: Connection,
    record: type[Row],
    columns: dict[str, str],
) -> None:
    # The same fact recorded twice differs in its times alone: that is a killed process run again.
    facts = [name for name, kind in columns.items() if kind != "TIMESTAMP"]
    differs = " OR ".join(f"incoming.{name} IS DISTINCT FROM live.{name}" for name in facts)
    clash = run_text(
        connection,
        f"SELECT {', '.join(record.key)} FROM incoming"
        f" WHERE EXISTS ({_live_row(record)} AND ({differs})) LIMIT 1",
    )
    if clash:
        raise _conflict(record, tuple(clash[0].values()), "is there with other values")


def _live_row(record: type[Row]) -> str:
    same_key = [f"live.{name} = incoming.{name}" for name in record.key]
    not_retired = [f"live.{name} IS NULL" for name in record.retired_by]
    return f"SELECT 1 FROM {record.table} AS live WHERE {' AND '.join(same_key + not_retired)}"


def _conflict(record: type[Row], key: tuple[object, ...], facts: str) -> LineageConflictError:
    named = ", ".join(f"{name} {value}" for name, value in zip(record.key, key, strict=True))
    return LineageConflictError(
        f"the {record.table} row with {named} {facts}.",
        remedy=f"look at the table {record.table} with `sift lineage sql`:"
        " recorded facts are never overwritten.",
    )
