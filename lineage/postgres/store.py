"""A lineage store in PostgreSQL, where several orchestrators or many auditors need it at once.

DuckDB is the engine here too: see `connection.py`. Readers see the store as it was when they
came and wait for nobody; writers take turns by a lock of PostgreSQL's, which the server frees when
its holder is gone, on whatever machine that was.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, LiteralString

import duckdb

from lineage import schema
from lineage.catalogue import require_own
from lineage.errors import (
    LineageBusyError,
    LineageError,
    LineageExtraError,
    LineageFileError,
    LineageMissingError,
    LineageWriteError,
)
from lineage.postgres.catalogue import PATH, asked, own_things, require_own_names_first, things
from lineage.postgres.connection import FORESEEN, SCHEMA, SharedConnection
from lineage.reader import Reader
from lineage.sql_files import query
from lineage.store import Config, Store

_CONFIG: Config = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
}
_SEAL = ("enable_external_access = false", "lock_configuration = true")
_EXTENSION = "duckdb_extension_postgres_scanner"
_EXTRA = "install it: pip install 'sift-masks[postgres]'."

# Numbers of PostgreSQL's advisory locks, which hold within one database.
_WRITING, _ORCHESTRATING = 0x51F7_0001, 0x51F7_0002
_RETRY_SECONDS = 0.05


class SharedLineageStore(Store):
    """Opens short sessions to the store in the database at `url`.

    A writer waits up to `wait_seconds` for its turn. `url` is `postgresql://user@host/database`,
    without a password: libpq takes that from PGPASSWORD or a PGPASSFILE, so that it stands in no
    setting, error or log.
    """

    def __init__(self, url: str, wait_seconds: float = 10.0) -> None:
        self.url = url
        self.wait_seconds = wait_seconds
        self._kept: dict[bool, SharedConnection] = {}
        self._making = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy in another process opens sessions of its own."""
        return SharedLineageStore, (self.url, self.wait_seconds)

    def migrate(self) -> None:
        """As `Store.migrate`; the tables lie in the schema `lineage` of the database."""
        with self._postgres() as connection:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        super().migrate()

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Give a Reader that sees the store as of now, whatever is written meanwhile.

        Raises LineageMissingError, LineageSchemaError, LineageAlteredError, LineageFileError.
        """
        with closing(self._session(read_only=True)) as connection:
            try:
                connection.begin()
                self._require_fit(connection)
                yield Reader(connection)
            except duckdb.Error as error:
                raise self._unreadable(error) from error

    def rewrite(self) -> None:
        """Let PostgreSQL write every table afresh, and end what its journal needs where it may.

        The journal (WAL), its archive, replicas and backups of the server are beyond a client's
        reach: docs/how-to/stores.md says how they forget. Raises as `writer` does, LineageBusyError
        also where a reader stays for longer than we wait.
        """
        with self.reader():
            pass  # what PostgreSQL keeps of an alteration goes with a table's old file
        with self._turn(_WRITING, self.wait_seconds, "is writing"), self._postgres() as connection:
            asked = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
            tables = [name for (name,) in connection.execute(asked, [SCHEMA]).fetchall()]
            # Whoever comes after us would wait behind us.
            connection.execute(f"SET lock_timeout = {max(1, int(self.wait_seconds * 1000))}")
            for table in tables:
                self._vacuum(connection, table)
            may = "SELECT pg_has_role('pg_checkpoint', 'USAGE')"
            if connection.execute(may).fetchone() == (True,):
                connection.execute("CHECKPOINT")

    @contextmanager
    def orchestrating(self) -> Iterator[None]:
        """As `Store.orchestrating`, for all machines that use this database."""
        with self._turn(_ORCHESTRATING, 0.0, "is working on this model"):
            yield

    # ---- inside ------------------------------------------------------------------------------

    @contextmanager
    def _exclusive(self) -> Iterator[SharedConnection]:
        with self._turn(_WRITING, self.wait_seconds, "is writing"):
            try:
                with closing(self._session(read_only=False)) as connection:
                    yield connection
            except duckdb.Error as error:
                raise LineageWriteError(
                    f"the lineage store {self.url} could not be written: {_facts(error)}",
                    remedy="nothing of this step was kept; free disk space or correct the cause,"
                    " then run the command again.",
                ) from error

    def _require_own(self, connection: SharedConnection) -> None:
        _require_own_names_first(connection)
        require_own(things(connection.ask_server(asked(SCHEMA))), own_things())

    def _definer(self, connection: SharedConnection) -> Callable[[str], object]:
        for sql in schema.definitions(schema.migrations()):
            connection.declare(sql, FORESEEN)
        return lambda _: connection.define()

    def _make_views(self, connection: SharedConnection) -> None:
        """None: views are made for each session, in memory."""

    def _require(self) -> None:
        with self._postgres() as connection:
            there = connection.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.schema_migration"])
            if there.fetchone() == (None,):
                raise self._missing()

    def _session(self, *, read_only: bool) -> SharedConnection:
        """A connection of a DuckDB in memory over the server's tables, sealed off from all else.

        The DuckDB is kept, since making it takes as long as many questions; but not one of a store
        whose migrations are not ours, which the next command may have changed.
        """
        with self._making:
            kept = self._kept.get(read_only)
            if kept is None:
                kept = self._make_session(read_only)
                if schema.is_current(kept):
                    self._kept[read_only] = kept
            return kept.cursor()

    def _make_session(self, read_only: bool) -> SharedConnection:
        raw = duckdb.connect(":memory:", config=_CONFIG)
        try:
            raw.execute(f"LOAD {_quoted(str(extension()))}")
            # A kept connection would not outlive a restart of the server.
            raw.execute("SET GLOBAL pg_connection_cache = false")
            options = f"TYPE postgres, SCHEMA '{SCHEMA}'" + (", READ_ONLY" if read_only else "")
            raw.execute(f"ATTACH {_quoted(self.url)} AS shared ({options})")
            for setting in _SEAL:
                raw.execute(f"SET {setting}")
            connection = SharedConnection(raw)
            _require_own_names_first(connection)
            if _is_there(raw):
                connection.declare(query("create_schema_migration"))
                connection.expose()
                if schema.is_current(connection):
                    self._require_own(connection)  # or a view over a lost column is the error
                known = schema.definitions(schema.migrations()[: schema.applied(connection)])
                for sql in known[1:]:
                    connection.declare(sql)
                connection.expose()
                if schema.is_current(connection):
                    schema.make_views(connection)
                    connection.describe()
            elif read_only:
                raise self._missing()
        except duckdb.Error as error:
            raw.close()
            raise self._unreadable(error) from error
        except LineageError:
            raw.close()
            raise
        return connection

    @contextmanager
    def _postgres(self) -> Iterator[Any]:
        """A connection of PostgreSQL's own, each statement a transaction."""
        try:
            import psycopg
        except ImportError as error:
            raise LineageExtraError("psycopg is not installed.", remedy=_EXTRA) from error
        try:
            with psycopg.connect(
                self.url,
                autocommit=True,
                connect_timeout=10,
                # A machine that vanished is noticed within two minutes, and its locks are freed.
                keepalives_idle=60,
                keepalives_interval=15,
                keepalives_count=4,
            ) as connection:
                yield connection
        except psycopg.Error as error:
            raise self._unreadable(error) from error

    @contextmanager
    def _turn(self, number: int, seconds: float, doing: LiteralString) -> Iterator[None]:
        """Hold one of the locks. Raises LineageBusyError after `seconds`."""
        deadline = time.monotonic() + seconds
        with self._postgres() as connection:
            asked = f"SELECT pg_try_advisory_lock({number})"
            while connection.execute(asked).fetchone() != (True,):
                if time.monotonic() >= deadline:
                    raise LineageBusyError(
                        f"another process {doing}, perhaps on another machine, and the lineage"
                        f" store {self.url} was waited for for {seconds:g} s.",
                        remedy="wait for it to end, or stop it, then try again.",
                    )
                time.sleep(_RETRY_SECONDS)
            yield

    def _vacuum(self, connection: Any, table: str) -> None:
        from psycopg.errors import LockNotAvailable

        try:
            connection.execute(f'VACUUM (FULL) {SCHEMA}."{table}"')
        except LockNotAvailable as error:
            raise LineageBusyError(
                f"somebody reads the table {table} of the lineage store {self.url}, for longer"
                f" than {self.wait_seconds:g} s: erased values cannot leave it meanwhile.",
                remedy="wait for the other command to end, or stop it, then try again.",
            ) from error

    def _missing(self) -> LineageMissingError:
        return LineageMissingError(
            f"there is no lineage store in {self.url}.",
            remedy="run `sift init` on the workspace: it makes the tables.",
        )

    def _unreadable(self, error: Exception) -> LineageFileError:
        return LineageFileError(
            f"the lineage store {self.url} cannot be used: {_facts(error)}",
            remedy="check that the server can be reached, stores.lineage in params.yaml, and the"
            " password (PGPASSWORD or PGPASSFILE).",
        )


def extension() -> Path:
    """The file of DuckDB's extension, which a package brings: nothing is fetched."""
    spec = find_spec(_EXTENSION)
    name = f"extensions/v{duckdb.__version__}/postgres_scanner.duckdb_extension"
    found = (
        [Path(folder) / name for folder in (spec.submodule_search_locations or [])] if spec else []
    )
    for path in found:
        if path.is_file():
            return path
    raise LineageExtraError(
        f"DuckDB's extension for PostgreSQL, version {duckdb.__version__}, is not installed.",
        remedy=_EXTRA,
    )


def _require_own_names_first(connection: SharedConnection) -> None:
    ((path,),) = connection.ask_server(PATH)
    require_own_names_first(path)


def _is_there(connection: duckdb.DuckDBPyConnection) -> bool:
    found = connection.execute(
        "SELECT count(*) FROM duckdb_tables()"
        " WHERE database_name = 'shared' AND table_name = 'schema_migration'"
    )
    return found.fetchone() != (0,)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _facts(error: Exception) -> str:
    """What went wrong, in one line without the statement, in which a name might stand."""
    first, _, reason = str(error).strip().partition("ERROR:")
    return (reason or first).strip().splitlines()[0]
