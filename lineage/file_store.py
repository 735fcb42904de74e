"""The lineage store in one file of DuckDB's: short connections, one writer at a time."""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb

from lineage import schema
from lineage.catalogue import catalogue, own_catalogue, require_own
from lineage.compaction import copy_live_rows
from lineage.errors import (
    LineageBusyError,
    LineageFileError,
    LineageMissingError,
    LineageWriteError,
)
from lineage.reader import Reader
from lineage.sql_files import Connection, Database, FileDatabase
from lineage.store import Config, Store
from lineage.unit_of_work import UnitOfWork

# Nothing but the store's own file is ever read or written: no other files, no extensions, no
# Python variables that happen to be called like a table, no spill files with personal data.
_SEALED: Config = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
    # DuckDB's smallest block. Many small tables: with the default a store of ten contributors
    # would take 13 MB instead of 1.5.
    "default_block_size": "16384",
    "lock_configuration": "true",
}
_RETRY_SECONDS = 0.02

# DuckDB keeps other processes out while one writes, but lets threads of one process write side
# by side. One lock a file makes those take turns too.
_WRITERS: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)

# Comparing schema and catalogue takes longer than opening the file, so a file is looked at once,
# and again when anybody but us has written to it. When it changed is nothing that a writer sets.
_LOOKED_AT: dict[Path, tuple[object, ...]] = {}

_UNITS: dict[Path, UnitOfWork] = {}
"""The units of work of this process."""


class LineageStore(Store):
    """Opens short connections to the file at `path`, waiting up to `wait_seconds` for each.

    Whoever writes keeps everyone else out, readers too.
    """

    def __init__(self, path: Path, wait_seconds: float = 10.0) -> None:
        # Absolute, so that no name is taken for one of DuckDB's special ones (":memory:", "md:");
        # resolved, so that two names of one file share one lock.
        self.path = path.resolve()
        self.wait_seconds = wait_seconds

    @contextmanager
    def unit_of_work(self) -> Iterator[None]:
        """As `Store.unit_of_work`. One within another is part of it."""
        if self.path in _UNITS:
            yield
            return
        unit = _UNITS[self.path] = UnitOfWork(self._exclusive)
        try:
            yield
        finally:
            del _UNITS[self.path]
            unit.close()

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Give a Reader on a read-only connection; nobody writes while it is open.

        Raises LineageMissingError, LineageBusyError, LineageSchemaError, LineageAlteredError,
        LineageFileError.
        """
        self._require()
        with self._looking() as connection:
            try:
                self._require_fit(connection)
                yield Reader(connection)
            except duckdb.Error as error:
                raise self._unreadable(error) from error

    @contextmanager
    def _looking(self) -> Iterator[FileDatabase]:
        """A connection that cannot write: of its own, or of the unit of work."""
        if unit := _UNITS.get(self.path):
            with unit.connection() as connection:
                connection.execute("BEGIN TRANSACTION READ ONLY")
                yield connection
        else:
            deadline = time.monotonic() + self.wait_seconds
            with closing(FileDatabase(self._open(True, _SEALED, deadline))) as connection:
                yield connection

    def rewrite(self) -> None:
        """Write the file afresh from its live rows, so that erased values leave its bytes too.

        Run it after `Recorder.mark_erased`. The new file is complete, checked and on the disk
        before it takes the old one's name; a killed process leaves the old file as it was. Raises
        as `writer` does.
        """
        self._require()
        if unit := _UNITS.get(self.path):
            unit.close()
        fresh = self.path.with_name(f".{self.path.name}.rewrite")
        leftovers = (fresh, fresh.with_name(f"{fresh.name}.wal"))
        # Not sealed, for this connection opens a second file; it runs no SQL but ours.
        with self._exclusive(_SEALED | {"enable_external_access": "true"}) as connection:
            self._require_fit(connection)
            _remove(leftovers)
            try:
                LineageStore(fresh).migrate()
                copy_live_rows(connection, fresh)
                _settle_on_disk(fresh)
                # While our connection is open nobody else can write to the file that goes.
                fresh.replace(self.path)
            finally:
                _remove(leftovers)

    @contextmanager
    def _writing(self) -> Iterator[Database]:
        if unit := _UNITS.get(self.path):
            with self._turn(unit.turn), self._in_our_words(), unit.connection() as connection:
                yield connection
        else:
            with self._exclusive() as connection:
                yield connection

    @contextmanager
    def _exclusive(self, config: Config = _SEALED) -> Iterator[FileDatabase]:
        deadline = time.monotonic() + self.wait_seconds
        with (
            self._turn(_WRITERS[self.path]),
            self._in_our_words(),
            closing(FileDatabase(self._open(False, config, deadline))) as connection,
        ):
            opened = self._on_disk()
            yield connection
        if _LOOKED_AT.get(self.path) == opened:
            _LOOKED_AT[self.path] = self._on_disk()  # what we wrote is ours

    @contextmanager
    def _turn(self, turn: threading.Lock) -> Iterator[None]:
        """Let the threads of this process write one after the other."""
        if not turn.acquire(timeout=max(0.0, self.wait_seconds)):
            raise self._busy("another thread of this process is writing")
        try:
            yield
        finally:
            turn.release()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise LineageWriteError(
                f"the lineage store {self.path} could not be written: {_first_line(error)}",
                remedy="nothing of this step was kept; free disk space or correct the cause,"
                " then run the command again.",
            ) from error

    def _require_fit(self, connection: Connection) -> None:
        if _LOOKED_AT.get(self.path) != self._on_disk():
            super()._require_fit(connection)

    def _require_own(self, connection: Connection) -> None:
        now = self._on_disk()
        if _LOOKED_AT.get(self.path) != now:
            require_own(catalogue(connection), own_catalogue())
            _LOOKED_AT[self.path] = now

    def _on_disk(self) -> tuple[object, ...]:
        """What changes whenever anybody writes to the file, or puts another in its place.

        And what it is held against.
        """
        found, known = self.path.stat(), schema.migrations()
        return (
            known,
            found.st_dev,
            found.st_ino,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
        )

    def _definer(self, connection: Connection) -> Callable[[str], object]:
        return connection.execute

    def _make_views(self, connection: Connection) -> None:
        schema.make_views(connection)

    def _open(self, read_only: bool, config: Config, deadline: float) -> duckdb.DuckDBPyConnection:
        while True:
            try:
                return duckdb.connect(str(self.path), read_only=read_only, config=config)
            except duckdb.Error as error:
                if not _is_busy(error):
                    raise self._unreadable(error) from error
                if time.monotonic() >= deadline:
                    raise self._busy(_first_line(error)) from error
                time.sleep(_RETRY_SECONDS)

    def _require(self) -> None:
        if not self.path.is_file():
            raise LineageMissingError(
                f"there is no lineage store at {self.path}.",
                remedy="run `sift init PATH` first, or name the workspace with --workspace.",
            )

    def _unreadable(self, error: duckdb.Error) -> LineageFileError:
        return LineageFileError(
            f"{self.path} cannot be read as a lineage store: {_first_line(error)}",
            remedy="restore the file from a backup, or check its permissions.",
        )

    def _busy(self, facts: str) -> LineageBusyError:
        return LineageBusyError(
            f"the lineage store {self.path} was in use for {self.wait_seconds:g} s ({facts}).",
            remedy="wait for the other command to end, or stop it, then try again.",
        )


_BUSY = (
    "Could not set lock",  # another process
    "different configuration",  # a connection of this process reads while we write, or vice versa
    "Unique file handle conflict",  # a thread of this process is just closing the file
)


def _is_busy(error: duckdb.Error) -> bool:
    return any(sign in str(error) for sign in _BUSY)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _settle_on_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
