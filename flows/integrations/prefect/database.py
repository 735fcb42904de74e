"""Prefect's own database, where it lies in the workspace: rewritten without free pages."""

import contextlib
import sqlite3
from pathlib import Path

from flows.errors import FlowError

_BUSY_SECONDS = 60.0


def rewrite_prefect_store(home: Path) -> None:
    """Write Prefect's database afresh from its live rows, also while the server uses it.

    A server that runs elsewhere keeps its own. Raises FlowError where the database stays busy.
    """
    database = home / "prefect.db"
    if not database.is_file():
        return
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=_BUSY_SECONDS)) as connection:
            connection.execute("VACUUM")
            (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError as error:
        raise _busy(database.name) from error
    if busy:
        raise _busy(database.name)


def _busy(name: str) -> FlowError:
    return FlowError(
        f"Prefect's database {name} is in use and could not be rewritten: it may still hold what a "
        "form said.",
        remedy="end `sift up`, start it again, then this run.",
    )
