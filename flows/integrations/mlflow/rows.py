"""The rows behind MLflow: what its database says, and deleting from it for good.

MLflow's own deletion keeps the tags of a version and a row that names the model's folder, and a
server deletes only as far as its bin. So rows are deleted here, in a workspace's SQLite and in the
database behind a team's server alike; what lies in the bin is deleted as `mlflow gc` does it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import Connection, MetaData, String, cast, create_engine, or_, select, text

from flows.integrations.mlflow.relocation import ModelStoreError

_VERSION_TABLES = ("model_version_tags", "registered_model_aliases", "model_versions")
_BUSY_SECONDS = 20


class NoDatabaseError(ModelStoreError):
    """Something in an MLflow server cannot be destroyed for good, for its database is not known."""


class ModelRows:
    """The database at `url`; `store` makes MLflow's own store over it."""

    def __init__(self, url: str, store: Callable[[], SqlAlchemyStore] | None = None) -> None:
        # psycopg 3, the driver that our extra installs.
        self._url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        self._make_store = store or (lambda: SqlAlchemyStore(self._url, "mlflow-artifacts:/"))

    @cached_property
    def store(self) -> SqlAlchemyStore:
        """MLflow's own store, with the calls of `mlflow gc`."""
        return self._make_store()

    def require_of(self, server: str, experiment: str, experiment_id: str) -> None:
        """Raise ModelStoreError unless the database knows the server's experiment of ours.

        MLflow would make its tables in a database that has none.
        """
        asked = text("SELECT name FROM experiments WHERE experiment_id = :id")
        with self._connection() as connection:
            there = self._tables and connection.execute(asked, {"id": int(experiment_id)}).scalar()
        if there != experiment:
            raise ModelStoreError(
                f"stores.mlflow_database is not the database behind {server}: it has no"
                f" experiment {experiment_id} called {experiment}.",
                remedy="name the database that the server was started with (--backend-store-uri).",
            )

    def deleted_versions(self, name: str) -> list[int]:
        """The numbers of versions that lie in the bin."""
        asked = text(
            "SELECT version FROM model_versions WHERE name = :name AND current_stage = :bin"
        )
        with self._connection() as connection:
            rows = connection.execute(asked, {"name": name, "bin": STAGE_DELETED_INTERNAL})
            return sorted(int(row[0]) for row in rows)

    def destroy_version(self, name: str, number: int) -> None:
        """Delete a version's row, its tags and its aliases."""
        with self._connection() as connection, connection.begin():
            for table in _VERSION_TABLES:
                connection.execute(
                    text(f"DELETE FROM {table} WHERE name = :name AND version = :version"),  # noqa: S608
                    {"name": name, "version": number},
                )

    def has_version(self, name: str, number: int) -> bool:
        """Whether any row speaks of a version."""
        with self._connection() as connection:
            return any(
                connection.execute(
                    text(f"SELECT 1 FROM {table} WHERE name = :name AND version = :version"),  # noqa: S608
                    {"name": name, "version": number},
                ).first()
                for table in _VERSION_TABLES
            )

    def names(self, locator: str) -> bool:
        """Whether any text in any table holds the id of a model or a run."""
        with self._connection() as connection:
            for table in self._tables:
                texts = [column for column in table.columns if isinstance(column.type, String)]
                held = [cast(column, String).contains(locator, autoescape=True) for column in texts]
                asked = select(text("1")).select_from(table).where(or_(*held)).limit(1)
                if held and connection.execute(asked).first():
                    return True
        return False

    def vacuum(self) -> None:
        """Let the database use the room of deleted rows again; SQLite's file is written afresh."""
        with self._connection() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            alone.execute(text("VACUUM"))
            if connection.dialect.name == "sqlite":
                alone.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))

    @cached_property
    def _tables(self) -> list[Any]:
        metadata = MetaData()
        with self._connection() as connection:
            metadata.reflect(connection)
        return metadata.sorted_tables

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        patient = {"timeout": _BUSY_SECONDS} if self._url.startswith("sqlite") else {}
        engine = create_engine(self._url, connect_args=patient)
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()
