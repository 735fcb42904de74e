"""MLflow's store in the workspace: rows in `mlflow.db`, files in `mlruns/`."""

from __future__ import annotations

import os

# Read once, when mlflow is imported: this house phones nobody.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import contextlib
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from flows.integrations.mlflow.card import ModelCard
from flows.integrations.mlflow.catalogue import StoredModel
from flows.integrations.mlflow.own_rows import OwnRows, busy
from flows.integrations.mlflow.relocation import first_elsewhere
from flows.integrations.ownership import elsewhere
from flows.integrations.usable_paths import require_usable

if TYPE_CHECKING:  # MLflow takes seconds to import, and who only looks does without
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

    from flows.integrations.mlflow.rows import ModelRows

_BUSY_SECONDS = 20.0


class OwnStore:
    """The models of one workspace in its own folder.

    Every call names this store explicitly: MLflow's process-wide tracking URI is neither read nor
    set.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.root = root.resolve()
        require_usable(self.root)
        self.name = name
        self.database = self.root / "mlflow.db"
        self.artifacts = self.root / "mlruns"

    @cached_property
    def tracking_uri(self) -> str:
        """The database, as MLflow is told of it."""
        return _sqlite(self.database)

    @cached_property
    def catalogue(self) -> OwnRows:
        """What is there, by the database."""
        return OwnRows(self.database, self.name, _BUSY_SECONDS)

    @cached_property
    def rows(self) -> ModelRows:
        """The database, by the store that our client has opened already."""
        from flows.integrations.mlflow.rows import ModelRows

        return ModelRows(self.tracking_uri, lambda: self.client._tracking_client.store)

    def is_there(self) -> bool:
        """Whether there is a database."""
        return self.database.exists()

    def ensure_database(self) -> None:
        """Make MLflow's tables where there are none yet, so that a server finds them whole."""
        if not self.database.exists():
            self._make_database()

    def _make_database(self) -> None:
        """Make MLflow's tables under another name: its migrations do not survive a kill."""
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        draft = self.root / ".sift" / "tmp" / "mlflow.db"
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        store = SqlAlchemyStore(_sqlite(draft), self.artifacts.as_uri())
        store.engine.dispose()
        draft.replace(self.database)

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client of this store."""
        from mlflow import MlflowClient

        self.ensure_database()
        # Asked first by ourselves: MLflow tries a file that is no database for 100 seconds.
        with contextlib.closing(
            sqlite3.connect(self.database, timeout=_BUSY_SECONDS)
        ) as connection:
            connection.execute("PRAGMA schema_version")
        return MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    @contextlib.contextmanager
    def asking(self, what: str) -> Iterator[MlflowClient]:
        """As `Backend.asking`."""
        from flows.integrations.mlflow.border import in_our_words

        with in_our_words(what, busy(self.database)):
            yield self.client

    def edition(self) -> int | None:
        """As `Backend.edition`, for one thread at a time; a question costs microseconds."""
        from flows.integrations.mlflow.border import in_our_words

        with in_our_words("look whether its database has changed", "see what the cause says."):
            (edition,) = self._looking.execute("PRAGMA data_version").fetchone()
        return int(edition)

    @cached_property
    def _looking(self) -> sqlite3.Connection:
        """A connection that never writes: what others write changes its `data_version`."""
        return sqlite3.connect(
            f"{self.database.as_uri()}?mode=ro",
            timeout=_BUSY_SECONDS,
            uri=True,
            check_same_thread=False,
        )

    def require_here(self) -> None:
        """Raise ForeignPlaceError where a row of ours names a place outside of the workspace."""
        if location := first_elsewhere(self.root, self.name):
            raise elsewhere(location, str(self.root))

    def require_own(self, stored: StoredModel, location: str) -> None:
        """Raise ForeignPlaceError unless it is the folder we made."""
        folder = self.folder(stored) / "artifacts"
        if location != folder.as_uri() or folder.resolve() != folder:
            raise elsewhere(location, str(self.root))

    def make_experiment(self, client: MlflowClient) -> str:
        """Make it, with its files in the workspace."""
        return str(client.create_experiment(self.name, artifact_location=self.artifacts.as_uri()))

    def write_model(
        self, client: MlflowClient, model: LoggedModel, weights: Path, card: ModelCard, run_id: str
    ) -> None:
        """Write it in place."""
        from mlflow.utils.file_utils import local_file_uri_to_path

        from flows.integrations.mlflow.model_folder import write_model

        folder = Path(local_file_uri_to_path(model.artifact_location))
        write_model(folder, folder.as_uri(), weights, card, run_id, model.model_id)

    def weights_folder(self, model_id: str) -> Path:
        """The folder itself."""
        return self.folder(StoredModel("mlflow-model", model_id, 0)) / "artifacts" / "artifacts"

    def size(self, stored: StoredModel) -> int:
        """Bytes on the disk."""
        files = self.folder(stored).rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())

    def delete_files(self, stored: StoredModel) -> None:
        """Remove the folder."""
        if self.folder(stored).exists():
            shutil.rmtree(self.folder(stored))

    def still_there(self, stored: Iterable[StoredModel]) -> list[StoredModel]:
        """Those of which a row, a folder or a byte is left.

        For a model or a run that means its id anywhere in the database file, free pages and
        journals included; a version's number is looked for in the registry's tables.
        """
        if not self.is_there():
            return [one for one in stored if self._has_folder(one)]
        files = [self.database.with_name(f"mlflow.db{end}") for end in ("", "-journal", "-wal")]
        content = b"\0".join(file.read_bytes() for file in files if file.exists())
        left = []
        for one in stored:
            if one.place == "mlflow-registry":
                with self.asking(f"look for version {one.locator} of {self.name}"):
                    there = self.rows.has_version(self.name, int(one.locator))
            else:
                there = self._has_folder(one) or one.locator.encode("ascii") in content
            left += [one] if there else []
        return left

    def folder(self, stored: StoredModel) -> Path:
        """Where the files of a model or a run lie."""
        if stored.place == "mlflow-model":
            return self.artifacts / "models" / stored.locator
        return self.artifacts / stored.locator

    def _has_folder(self, stored: StoredModel) -> bool:
        return stored.place != "mlflow-registry" and self.folder(stored).exists()


def _sqlite(path: Path) -> str:
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(path)).render_as_string()
