"""The lineage store: short connections, one writer at a time. By default one DuckDB file."""

import os
import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import duckdb

from lineage import schema
from lineage.audit.log import audited
from lineage.audit.rows import AuditedTable, audited_tables
from lineage.catalogue import catalogue, own_catalogue, require_own
from lineage.compaction import copy_live_rows
from lineage.errors import (
    LineageBusyError,
    LineageFileError,
    LineageMissingError,
    LineageSchemaError,
    LineageWriteError,
)
from lineage.reader import Reader
from lineage.recorder import Recorder
from lineage.sql_files import Connection, Database, FileDatabase

Config = dict[str, str | bool | int | float | list[str]]

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

# What the log follows is said by the tables' definitions, so by the migrations alone.
_AUDITED: dict[tuple[schema.Migration, ...], dict[str, AuditedTable]] = {}


class _Sessions(threading.local):
    """The files that this thread has open for a session."""

    def __init__(self) -> None:
        self.open: dict[Path, FileDatabase] = {}


_SESSIONS = _Sessions()


class Store(ABC):
    """What every lineage store does: `LineageStore` in a file, `SharedLineageStore` elsewhere.

    Open it, do one thing, close it: whoever writes keeps other writers out.
    """

    def migrate(self) -> None:
        """Create the store, or bring it up to this version; then make its views anew.

        All or nothing. Raises LineageSchemaError if the store does not fit this version, and
        LineageAlteredError if it holds anything that no migration of ours has made.
        """
        # Closing a connection rolls back what was not committed, also after errors that leave
        # DuckDB unable to run ROLLBACK.
        with self._exclusive() as connection:
            if schema.is_current(connection):
                self._require_own(connection)  # or a view of somebody else's would be mended unseen
            define = self._definer(connection)
            connection.begin()
            schema.migrate(connection, define)
            self._make_views(connection)
            connection.commit()
        with self._exclusive() as connection:
            self._require_own(connection)

    def upgrade(self) -> None:
        """Migrate a store that an older release wrote; leave any other, or none, as it is.

        Raises as `migrate` and `reader` do.
        """
        try:
            with self.reader():
                return
        except LineageMissingError:
            return
        except LineageSchemaError:
            self.migrate()  # raises again where the store is no older one

    @contextmanager
    def writer(self) -> Iterator[Recorder]:
        """Give a Recorder within one transaction: kept as a whole, or not at all on any error.

        What it changes is appended to the audit log in the same transaction.
        Raises LineageMissingError, LineageBusyError, LineageSchemaError, LineageAlteredError,
        LineageFileError, and LineageWriteError when the database cannot write (a full disk).
        """
        self._require()
        with self._writing() as connection:
            self._require_fit(connection)
            with audited(connection, _audited(connection)) as writing:
                yield Recorder(writing)

    @abstractmethod
    def reader(self) -> AbstractContextManager[Reader]:
        """Give a Reader on a read-only connection: all its answers are of one moment.

        Raises LineageMissingError, LineageBusyError, LineageSchemaError, LineageAlteredError,
        LineageFileError.
        """

    @abstractmethod
    def rewrite(self) -> None:
        """Write the live rows afresh, so that erased values leave the store's files too.

        Run it after `Recorder.mark_erased`. Raises as `writer` does.
        """

    @abstractmethod
    def check(self) -> str:
        """Open the store and say what it is. Raises LineageError as `reader` does."""

    def session(self) -> AbstractContextManager[None]:
        """Open the store once for all that this thread asks and writes within.

        Opening takes longer than most questions. Each transaction is one of its own all the same.
        Nobody else can use a file meanwhile, so this is for moments: never around what computes,
        or waits for anything. Raises as `writer` does. A store elsewhere keeps its sessions itself.
        """
        return nullcontext()

    def orchestrating(self) -> AbstractContextManager[None]:
        """Be the only one who works on what this store tells of, on whatever machine.

        Raises LineageBusyError at once where somebody else is. A file lies in a workspace, whose
        own lock is enough.
        """
        return nullcontext()

    def _require_fit(self, connection: Any) -> None:
        """Raise LineageSchemaError or LineageAlteredError unless it is a store as we make it."""
        schema.require_current(connection)
        self._require_own(connection)

    @abstractmethod
    def _require_own(self, connection: Any) -> None:
        """Raise LineageAlteredError unless it holds what our files make, and nothing else."""

    @abstractmethod
    def _require(self) -> None:
        """Raise LineageMissingError where there is no store."""

    def _writing(self) -> AbstractContextManager[Database]:
        """Give a connection to write one transaction through."""
        return self._exclusive()

    @abstractmethod
    def _exclusive(self) -> AbstractContextManager[Database]:
        """Give a connection that writes, while nobody else does."""

    @abstractmethod
    def _make_views(self, connection: Any) -> None:
        """Make the views of a migrated store anew, where they are kept in it."""

    @abstractmethod
    def _definer(self, connection: Any) -> Callable[[str], object]:
        """Return what makes and alters tables through a connection of `_exclusive`."""


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
    def session(self) -> Iterator[None]:
        """As `Store.session`. One within another is part of it."""
        if self.path in _SESSIONS.open:
            yield
            return
        self._require()
        with self._exclusive() as connection:
            self._require_fit(connection)
            _SESSIONS.open[self.path] = connection
            try:
                yield
            finally:
                del _SESSIONS.open[self.path]

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Give a Reader on a read-only connection; nobody writes while it is open.

        Raises LineageMissingError, LineageBusyError, LineageSchemaError, LineageAlteredError,
        LineageFileError.
        """
        self._require()
        with closing(self._looking()) as connection:
            try:
                self._require_fit(connection)
                yield Reader(connection)
            except duckdb.Error as error:
                raise self._unreadable(error) from error

    def _looking(self) -> FileDatabase:
        """A connection that cannot write: of its own, or of this thread's session."""
        if session := _SESSIONS.open.get(self.path):
            connection = session.cursor()
            connection.execute("BEGIN TRANSACTION READ ONLY")
            return connection
        return FileDatabase(self._open(True, _SEALED, time.monotonic() + self.wait_seconds))

    def check(self) -> str:
        """Open the file and say what it is."""
        with self.reader():
            return f"DuckDB {duckdb.__version__}, {len(schema.migrations())} migrations"

    def rewrite(self) -> None:
        """Write the file afresh from its live rows, so that erased values leave its bytes too.

        Run it after `Recorder.mark_erased`. The new file is complete, checked and on the disk
        before it takes the old one's name; a killed process leaves the old file as it was. Raises
        as `writer` does.
        """
        self._require()
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
        session = _SESSIONS.open.get(self.path)
        if session is None:
            with self._exclusive() as connection:
                yield connection
        else:
            with self._in_our_words(), closing(session.cursor()) as connection:
                yield connection

    @contextmanager
    def _exclusive(self, config: Config = _SEALED) -> Iterator[FileDatabase]:
        deadline = time.monotonic() + self.wait_seconds
        turn = _WRITERS[self.path]
        if not turn.acquire(timeout=max(0.0, self.wait_seconds)):
            raise self._busy("another thread of this process is writing")
        try:
            with (
                self._in_our_words(),
                closing(FileDatabase(self._open(False, config, deadline))) as connection,
            ):
                opened = self._on_disk()
                yield connection
            if _LOOKED_AT.get(self.path) == opened:
                _LOOKED_AT[self.path] = self._on_disk()  # what we wrote is ours
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


def _audited(connection: Connection) -> dict[str, AuditedTable]:
    known = schema.migrations()
    if known not in _AUDITED:
        _AUDITED[known] = audited_tables(connection)
    return _AUDITED[known]


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
