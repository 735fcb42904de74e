"""An MLflow server that a team shares: the same versions, files and rows elsewhere.

Everything that the server can do goes through it. It cannot destroy: it puts runs, models and
versions into a bin, and says of the bin that nothing is there. Files are deleted through it; rows
need its database (`stores.mlflow_database`). Without that nothing is called absent, so a request
waits before `purged` and lists what is pending.
"""

import os

# Read when mlflow is imported: a server that is down is told of in seconds, not in minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from flows.integrations.mlflow.border import in_our_words
from flows.integrations.mlflow.card import ModelCard
from flows.integrations.mlflow.catalogue import StoredModel
from flows.integrations.mlflow.model_folder import write_model
from flows.integrations.mlflow.relocation import ModelStoreError
from flows.integrations.mlflow.rows import ModelRows, NoDatabaseError
from flows.integrations.mlflow.server_rows import ServerRows
from flows.integrations.ownership import elsewhere
from flows.integrations.usable_paths import require_usable

_TAG_WORKSPACE = "sift.workspace"


class SharedServer:
    """The models of one workspace in the server at `url`, under one registered name."""

    def __init__(
        self, root: Path, name: str, url: str, database: str | None, workspace: str
    ) -> None:
        """`workspace` tells us from others whose models are in the server."""
        self.root = root.resolve()
        require_usable(self.root)
        self.name = name
        self.tracking_uri = url.rstrip("/")
        self._database_url = database
        self._workspace = workspace

    @cached_property
    def catalogue(self) -> ServerRows:
        """What is there, as the server says."""
        return ServerRows(self.name, self.asking, lambda: self.rows)

    @cached_property
    def rows(self) -> ModelRows | None:
        """The database behind the server, where we know it and it is that one."""
        if self._database_url is None:
            return None
        rows = ModelRows(self._database_url)
        known = self.client.get_experiment_by_name(self.name)
        experiment = known.experiment_id if known else self.make_experiment(self.client)
        rows.require_of(self.tracking_uri, self.name, str(experiment))
        return rows

    def is_there(self) -> bool:
        """A server is there, or every question fails."""
        return True

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client of the server, once it is clear that our name is ours there."""
        client = MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)
        known = client.get_experiment_by_name(self.name)
        if known is not None and known.tags.get(_TAG_WORKSPACE) != self._workspace:
            raise ModelStoreError(
                f"The models called {self.name} in {self.tracking_uri} are another workspace's.",
                remedy="choose another model.name in a new workspace: an opt-out here would reach"
                " what is not ours.",
            )
        return client

    @contextlib.contextmanager
    def asking(self, what: str) -> Iterator[MlflowClient]:
        """As `Backend.asking`."""
        remedy = (
            f"check that {self.tracking_uri} (stores.mlflow) can be reached and lets you in "
            "(MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN), then "
            "run the same command again; it goes on where it stopped."
        )
        with in_our_words(what, remedy):
            yield self.client

    def edition(self) -> int | None:
        """A server does not tell."""
        return None

    def require_here(self) -> None:
        """Nothing of a server's lies in the workspace; whose it is, `client` asks."""

    def require_own(self, stored: StoredModel, location: str) -> None:
        """Raise ForeignPlaceError unless it lies in our experiment."""
        if location != self._location_of(stored):
            raise elsewhere(location, f"{self.root}, in {self.tracking_uri}")

    def make_experiment(self, client: MlflowClient) -> str:
        """Make ours, wherever the server keeps files."""
        return str(client.create_experiment(self.name, tags={_TAG_WORKSPACE: self._workspace}))

    def write_model(
        self, client: MlflowClient, model: LoggedModel, weights: Path, card: ModelCard, run_id: str
    ) -> None:
        """Write it here, then give it to the server."""
        folder = self.root / ".sift" / "tmp" / f"registering-{model.model_id}"
        try:
            write_model(folder, model.artifact_location, weights, card, run_id, model.model_id)
            client.log_model_artifacts(model.model_id, str(folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def weights_folder(self, model_id: str) -> Path:
        """A copy of it.

        It lies among the things under way, which the next command that changes the workspace
        sweeps.
        """
        folder = self._fetched(model_id)
        weights = folder / "artifacts"
        if not weights.exists():
            with self.asking(f"fetch model {model_id} of {self.name}") as client:
                model = client.get_logged_model(model_id)
                folder.mkdir(parents=True, exist_ok=True)
                files = self._artifacts(model.artifact_location)
                files.download_artifacts("artifacts", str(folder))
        return weights

    def size(self, stored: StoredModel) -> int:
        """Bytes of its files, whether it has a row or not."""
        with self.asking(f"look for {stored.place} {stored.locator}"):
            return sum(self._files(stored).values())

    def delete_files(self, stored: StoredModel) -> None:
        """By themselves: rows may be gone already, and a killed process left the files.

        And the copy that was fetched of them.
        """
        if self._files(stored):
            self._artifacts(str(self._location_of(stored))).delete_artifacts()
        if (copy := self._fetched(stored.locator)).exists():
            shutil.rmtree(copy)

    def still_there(self, stored: Iterable[StoredModel]) -> list[StoredModel]:
        """Those that a row of the database or a file names.

        Raises NoDatabaseError where the database is not known: the server does not tell.
        """
        return [one for one in stored if self._is_there(one)]

    def _is_there(self, stored: StoredModel) -> bool:
        with self.asking(f"look for {stored.place} {stored.locator}"):
            rows = self._required_rows()
            if stored.place == "mlflow-registry":
                return rows.has_version(self.name, int(stored.locator))
            return rows.names(stored.locator) or bool(self._files(stored))

    def _fetched(self, model_id: str) -> Path:
        return self.root / ".sift" / "tmp" / "fetched" / model_id

    def _files(self, stored: StoredModel) -> dict[str, int]:
        """The files of a model or a run: path → bytes."""
        location = self._location_of(stored)
        return _all_files(self._artifacts(location)) if location else {}

    def _location_of(self, stored: StoredModel) -> str | None:
        """Where MLflow puts the files of a model or a run; None where we never made any."""
        experiment = self.client.get_experiment_by_name(self.name)
        if experiment is None or stored.place == "mlflow-registry":
            return None
        folder = "models/" if stored.place == "mlflow-model" else ""
        return f"{experiment.artifact_location}/{folder}{stored.locator}/artifacts"

    def _artifacts(self, location: str) -> ArtifactRepository:
        return get_artifact_repository(
            location, tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri
        )

    def _required_rows(self) -> ModelRows:
        if self.rows is None:
            raise NoDatabaseError(
                f"The files in {self.tracking_uri} are deleted. Rows that name them lie in its"
                " bin, of which it tells nothing.",
                remedy="set stores.mlflow_database, then run the same command again.",
            )
        return self.rows


def _all_files(repository: ArtifactRepository, folder: str | None = None) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in repository.list_artifacts(folder):
        if entry.is_dir:
            found |= _all_files(repository, entry.path)
        else:
            found[entry.path] = entry.file_size or 0
    return found
