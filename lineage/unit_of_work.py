"""A unit of work: the store's file stays open between questions that follow each other closely.

Opening a file of DuckDB's takes longer than most questions, and a step asks and writes many times.
Nobody else can use the file meanwhile, so it is closed when nothing was asked for a moment, and now
and then for whoever waits: a hold can be placed while a purge runs.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from lineage.sql_files import FileDatabase

IDLE_SECONDS = 0.5
"""The file is closed when it was not used for so long."""
HELD_SECONDS = 3.0
"""It is closed between two questions once it was open for so long: others try for ten seconds."""
GAP_SECONDS = 0.05
"""For how long it is left alone then; others try every 20 ms."""


class UnitOfWork:
    """Opens a file by `opening` when it is first used, and again after a rest."""

    def __init__(self, opening: Callable[[], AbstractContextManager[FileDatabase]]) -> None:
        self._opening = opening
        self.turn = threading.Lock()
        """Held by the thread that writes: DuckDB would let several write side by side."""
        self._lock = threading.RLock()
        self._held = ExitStack()
        self._file: FileDatabase | None = None
        self._since = 0.0
        self._users = 0
        self._rest: threading.Timer | None = None

    @contextmanager
    def connection(self) -> Iterator[FileDatabase]:
        """Give a connection with transactions of its own; those within another share the file."""
        connection = self._begin()
        try:
            yield connection
        finally:
            connection.close()
            self._end()

    def close(self) -> None:
        """Close the file: the unit has ended, or another file takes its place."""
        with self._lock:
            self._cancel_rest()
            self._file = None
            self._held.close()

    def _begin(self) -> FileDatabase:
        with self._lock:
            self._cancel_rest()
            if self._file is None:
                self._file = self._held.enter_context(self._opening())
                self._since = time.monotonic()
            self._users += 1
            return self._file.cursor()

    def _end(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users or self._file is None:
                return
            if time.monotonic() - self._since > HELD_SECONDS:
                self.close()
                time.sleep(GAP_SECONDS)
                return
            self._rest = threading.Timer(IDLE_SECONDS, self._let_go)
            self._rest.daemon = True
            self._rest.start()

    def _let_go(self) -> None:
        with self._lock:
            if not self._users:
                self.close()

    def _cancel_rest(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
