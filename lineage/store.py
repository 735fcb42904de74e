"""What every lineage store does: short connections, one writer at a time."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from lineage import schema
from lineage.audit.log import audited
from lineage.audit.rows import AuditedTable, audited_tables
from lineage.errors import LineageMissingError, LineageSchemaError
from lineage.reader import Reader
from lineage.recorder import Recorder
from lineage.sql_files import Connection, Database

Config = dict[str, str | bool | int | float | list[str]]

# What the log follows is said by the tables' definitions, so by the migrations alone.
_AUDITED: dict[tuple[schema.Migration, ...], dict[str, AuditedTable]] = {}


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

    def unit_of_work(self) -> AbstractContextManager[None]:
        """Keep the store open between what is asked and written within, where opening it is dear.

        Each transaction is one of its own all the same. A store elsewhere keeps its sessions
        itself.
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


def _audited(connection: Connection) -> dict[str, AuditedTable]:
    known = schema.migrations()
    if known not in _AUDITED:
        _AUDITED[known] = audited_tables(connection)
    return _AUDITED[known]
