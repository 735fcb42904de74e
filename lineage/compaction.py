"""Rewriting the store's file so that erased values are gone from its bytes, not only its rows.

DuckDB leaves updated and deleted values in blocks it considers free. A file written afresh from
the live rows has none of them.
"""

from pathlib import Path

from lineage.errors import LineageWriteError
from lineage.sql_files import Database, run, run_text

# ruff: noqa: S608
# Table names come from the database's own catalogue; the path is quoted by `_quoted`.


def copy_live_rows(connection: Database, fresh: Path) -> None:
    """Copy every row of the open store into the migrated, still empty store `fresh`.

    Raises LineageWriteError if the copy does not hold exactly the same rows.
    """
    connection.execute(f"ATTACH {_quoted(fresh)} AS fresh")
    tables = [row["table_name"] for row in run(connection, "tables")]
    # `fresh` has rows of its own, on its migrations and in its audit log; history is the old one's.
    for table in tables:
        connection.execute(f"DELETE FROM fresh.main.{table}")
    connection.begin()
    for table in tables:
        connection.execute(f"INSERT INTO fresh.main.{table} SELECT * FROM main.{table}")
    connection.commit()
    for table in tables:
        # EXCEPT ALL counts repeated rows too; both ways, so nothing is missing and nothing extra.
        differing = run_text(
            connection,
            f"(FROM main.{table} EXCEPT ALL FROM fresh.main.{table}) UNION ALL"
            f" (FROM fresh.main.{table} EXCEPT ALL FROM main.{table}) LIMIT 1",
        )
        if differing:
            raise LineageWriteError(
                f"the rewritten store differs from the old one in the table {table}.",
                remedy="the old store is untouched; check the disk, then run the command again.",
            )
    connection.execute("CHECKPOINT fresh")
    connection.execute("DETACH fresh")
    # The old log must be gone before the new file takes the name it belongs to.
    connection.execute("CHECKPOINT")


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
