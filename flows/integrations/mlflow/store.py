"""What is in MLflow: the versions of one model, their logged models and runs.

Three things in MLflow make up a version, and each is called a *place* here:

- `mlflow-registry`: the row that gives the version its number, with tags and aliases;
- `mlflow-model`: the logged model, that is the bytes under `mlruns/models/m-…`;
- `mlflow-run`: the run with its metrics and tags.

Here the store lies in the workspace; `shared_registry.py` is the same over a server that is shared.
The version's row is written last and in one transaction with its tags, so a version that can be
found is whole. Registering is `registry.py`, destroying `destruction.py`.
"""

import os

# Read once, when mlflow is imported: this house phones nobody.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from flows.integrations.mlflow.relocation import ModelStoreError, first_elsewhere
from flows.integrations.ownership import elsewhere
from flows.integrations.usable_paths import require_usable

CHAMPION = "champion"
TAG_STATE = "sift.state_sha256"
TAG_SEQ = "sift.state_seq"
TAG_MODEL = "sift.model_id"

_BUSY_SECONDS = 20.0

Place = Literal["mlflow-registry", "mlflow-model", "mlflow-run"]


@dataclass(frozen=True)
class Registered:
    """One registered model version and the two MLflow objects behind it."""

    version: int
    run_id: str
    model_id: str


@dataclass(frozen=True)
class StoredModel:
    """One object in MLflow that holds (a part of) a model version.

    `locator` is the version's number, the model's id or the run's id; `bytes` what its folder
    holds on disk, 0 for a registry row.
    """

    place: Place
    locator: str
    bytes: int


class ModelStore:
    """The models of one workspace, under one registered name: where they are, and what is there.

    Metadata is in `<root>/mlflow.db`, artifacts are in `<root>/mlruns`. Every call names its store
    explicitly: MLflow's process-wide tracking URI is neither read nor set.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.root = root.resolve()
        require_usable(self.root)
        self.name = name
        self.database = self.root / "mlflow.db"
        self.artifacts = self.root / "mlruns"
        self.tracking_uri = _sqlite(self.database)

    # -- looking ---------------------------------------------------------------------------------

    def champion(self) -> int | None:
        """Return the champion's number, None where there is no champion."""
        if not self._is_there():
            return None
        with self._store(f"look up the champion of {self.name}") as client:
            model = found(client.get_registered_model, self.name)
        return int(model.aliases[CHAMPION]) if model and CHAMPION in model.aliases else None

    def versions(self) -> list[int]:
        """Return the numbers of all registered versions, oldest first."""
        return sorted(int(row.version) for row in self._rows())

    def version_tags(self, number: int) -> dict[str, str]:
        """Return a version's tags. Raises ModelStoreError for a version that does not exist."""
        with self._store(f"read the tags of version {number} of {self.name}") as client:
            return dict(client.get_model_version(self.name, str(number)).tags)

    def experiment_id(self) -> str | None:
        """Return the id of the experiment that our runs are in, None before the first one."""
        with self._store(f"look up the experiment of {self.name}") as client:
            known = client.get_experiment_by_name(self.name)
        return None if known is None else str(known.experiment_id)

    def served_folder(self, number: int) -> Path:
        """Return the folder of a version's unmasked model, as it was registered."""
        model_id = self.version_tags(number)[TAG_MODEL]
        stored = StoredModel("mlflow-model", model_id, 0)
        return self._folder(stored) / "artifacts" / "artifacts" / "served"

    def find_by_tag(self, state_sha256: str, state_seq: int | None = None) -> Registered | None:
        """Return the version of a merge state, the newest where there are several, or None.

        A state may recur (a contributor leaves and comes back): `state_seq` tells its times apart.
        """
        rows = [
            row
            for row in self._rows()
            if row.tags.get(TAG_STATE) == state_sha256
            and state_seq in (None, int(row.tags.get(TAG_SEQ, 0)))
        ]
        return registered_row(max(rows, key=lambda row: int(row.version))) if rows else None

    def ensure_database(self) -> None:
        """Make MLflow's tables where there are none yet, so that a server finds them whole."""
        if not self.database.exists():
            self._make_database()

    def check(self) -> str:
        """Ask the store and say what it is. Raises ModelStoreError where it does not answer."""
        return f"MLflow {mlflow.__version__}, {len(self.versions())} versions of {self.name}"

    # -- inside ----------------------------------------------------------------------------------

    def _require_here(self) -> None:
        """Raise ForeignPlaceError where a row of ours names a place outside of the workspace."""
        if location := first_elsewhere(self.root, self.name):
            raise elsewhere(location, str(self.root))

    def _is_there(self) -> bool:
        return self.database.exists()

    @property
    def _remedy(self) -> str:
        return (
            f"end other processes that use {self.database}, then run the same command again; it "
            "goes on where it stopped."
        )

    @cached_property
    def _client(self) -> MlflowClient:
        self.ensure_database()
        # Asked first by ourselves: MLflow tries a file that is no database for 100 seconds.
        with contextlib.closing(self._connect()) as connection:
            connection.execute("PRAGMA schema_version")
        return MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    @contextlib.contextmanager
    def _store(self, what: str) -> Iterator[MlflowClient]:
        with _quiet():
            try:
                yield self._client
            except (MlflowException, sqlite3.Error, SQLAlchemyError) as error:
                raise ModelStoreError(
                    f"MLflow could not {what}: {str(error).strip().splitlines()[0][:300]}",
                    remedy=self._remedy,
                ) from error

    def _make_database(self) -> None:
        """Make MLflow's tables under another name: its migrations do not survive a kill."""
        draft = self.root / ".sift" / "tmp" / "mlflow.db"
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        store = SqlAlchemyStore(_sqlite(draft), self.artifacts.as_uri())
        store.engine.dispose()
        draft.replace(self.database)

    def _rows(self) -> list[ModelVersion]:
        """Return our versions; one that a user registered under the same name is none of them."""
        if not self._is_there():  # a question makes no store
            return []
        with self._store(f"list the versions of {self.name}") as client:
            rows = all_pages(client.search_model_versions)
            return [row for row in rows if row.name == self.name and TAG_MODEL in row.tags]

    def _folder(self, stored: StoredModel) -> Path:
        if stored.place == "mlflow-model":
            return self.artifacts / "models" / stored.locator
        return self.artifacts / stored.locator

    def _stored(self, place: Place, locator: str) -> StoredModel:
        folder = self._folder(StoredModel(place, locator, 0))
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        return StoredModel(place, locator, size)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.database, timeout=_BUSY_SECONDS)


def _sqlite(path: Path) -> str:
    return URL.create("sqlite", database=str(path)).render_as_string()


def found(look: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what a look-up returns, None where MLflow says that there is no such thing."""
    try:
        return look(*args, **kwargs)
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return None
        raise


def all_pages(search: Callable[..., Any], **kwargs: Any) -> list[Any]:
    """Return everything that a paged search of MLflow finds."""
    found: list[Any] = []
    token = None
    while True:
        page = search(**kwargs, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def registered_row(row: ModelVersion) -> Registered:
    """Return the version behind a row of the registry."""
    return Registered(int(row.version), row.run_id, row.tags[TAG_MODEL])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow's progress notes off the terminal while the door works; warnings still show."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(max(logger.level, logging.WARNING))
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
