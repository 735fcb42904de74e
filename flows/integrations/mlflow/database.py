"""The database behind an MLflow server: what its rows say, and deleting them for good.

A server deletes only as far as its bin, and answers no question about what is in there. Whoever
runs the server can give the address of its database, and the same is possible as in a workspace.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import Connection, MetaData, String, cast, create_engine, or_, select, text

from flows.integrations.mlflow.relocation import ModelStoreError

_VERSION_TABLES = ("model_version_tags", "registered_model_aliases", "model_versions")


class NoDatabaseError(ModelStoreError):
    """Something in an MLflow server cannot be destroyed for good, for its database is not known."""


class ServerDatabase:
    """The database at `url`, which must be the one that the server at `server` writes to."""

    def __init__(self, url: str, server: str) -> None:
        # psycopg 3, the driver that our extra installs.
        self._url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        self._server = server

    def require_of(self, experiment: str, experiment_id: str) -> None:
        """Raise ModelStoreError unless the database knows the server's experiment of ours.

        MLflow would make its tables in a database that has none.
        """
        asked = text("SELECT name FROM experiments WHERE experiment_id = :id")
        with self._connection() as connection:
            there = self._tables and connection.execute(asked, {"id": int(experiment_id)}).scalar()
        if there != experiment:
            raise ModelStoreError(
                f"stores.mlflow_database is not the database behind {self._server}: it has no"
                f" experiment {experiment_id} called {experiment}.",
                remedy="name the database that the server was started with (--backend-store-uri).",
            )

    @cached_property
    def store(self) -> SqlAlchemyStore:
        """MLflow's own store over it, with the calls of `mlflow gc`."""
        return SqlAlchemyStore(self._url, "mlflow-artifacts:/")

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

    def version_rows(self, name: str, number: int) -> int:
        """How many rows speak of a version."""
        with self._connection() as connection:
            return sum(
                connection.execute(
                    text(f"SELECT count(*) FROM {table} WHERE name = :name AND version = :version"),  # noqa: S608
                    {"name": name, "version": number},
                ).scalar_one()
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
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM"))

    @cached_property
    def _tables(self) -> list[Any]:
        metadata = MetaData()
        with self._connection() as connection:
            metadata.reflect(connection)
        return metadata.sorted_tables

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        engine = create_engine(self._url)
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()
