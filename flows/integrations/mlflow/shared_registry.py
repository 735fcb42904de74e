"""The door to an MLflow server that a team shares: the same versions, files and rows elsewhere.

Everything that the server can do goes through it. It cannot destroy: it puts runs, models and
versions into a bin, and says of the bin that nothing is there. Files are deleted through it; rows
need its database (`stores.mlflow_database`). Without that nothing is called absent, so a request
waits before `purged` and lists what is pending.
"""

import os

# Read when mlflow is imported: a server that is down is told of in seconds, not in minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LoggedModel
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from flows.integrations.mlflow.card import ModelCard
from flows.integrations.mlflow.database import NoDatabaseError, ServerDatabase
from flows.integrations.mlflow.model_folder import write_model
from flows.integrations.mlflow.registry import Mlflow
from flows.integrations.mlflow.relocation import ModelStoreError
from flows.integrations.mlflow.store import TAG_MODEL, Place, StoredModel, found
from flows.integrations.ownership import elsewhere

_TAG_WORKSPACE = "sift.workspace"


class MlflowServer(Mlflow):
    """The models of one workspace in the server at `url`, under one registered name."""

    def __init__(
        self, root: Path, name: str, url: str, database: str | None, workspace: str
    ) -> None:
        """`workspace` tells us from others whose models are in the server."""
        super().__init__(root, name)
        self.tracking_uri = url.rstrip("/")
        self._database_url = database
        self._workspace = workspace

    def served_folder(self, number: int) -> Path:
        """Return a copy of a version's unmasked model, as it was registered.

        It lies among the things under way, which the next command that changes the workspace
        sweeps.
        """
        model_id = self.version_tags(number)[TAG_MODEL]
        folder = self._folder(StoredModel("mlflow-model", model_id, 0))
        served = folder / "artifacts" / "served"
        if not served.exists():
            with self._store(f"fetch version {number} of {self.name}") as client:
                model = client.get_logged_model(model_id)
                folder.mkdir(parents=True, exist_ok=True)
                files = self._artifacts(model.artifact_location)
                files.download_artifacts("artifacts/served", str(folder))
        return served

    def is_absent(self, stored: StoredModel) -> bool:
        """Look for an object again: True where no row of the database and no file names it.

        Raises NoDatabaseError where the database is not known: the server does not tell.
        """
        with self._store(f"look for {stored.place} {stored.locator}") as client:
            database = self._required_database()
            if stored.place == "mlflow-registry":
                return database.version_rows(self.name, int(stored.locator)) == 0
            return not database.names(stored.locator) and not self._files(client, stored)

    def check(self) -> str:
        """Ask the server, and its database where that is known. Raises ModelStoreError."""
        count = len(self.versions())
        known = "its database answers" if self._database else "its database is not known"
        with self._store("tell its version"):
            answer = http_request(get_default_host_creds(self.tracking_uri), "/version", "GET")
        return f"MLflow {answer.text.strip()}, {known}, {count} versions of {self.name}"

    # -- inside ----------------------------------------------------------------------------------

    def _require_here(self) -> None:
        """Nothing of a server's lies in the workspace; whose it is, `_client` asks."""

    def _is_there(self) -> bool:
        return True

    @property
    def _remedy(self) -> str:
        return (
            f"check that {self.tracking_uri} (stores.mlflow) can be reached and lets you in "
            "(MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN), then "
            "run the same command again; it goes on where it stopped."
        )

    @cached_property
    def _client(self) -> MlflowClient:
        client = MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)
        known = client.get_experiment_by_name(self.name)
        if known is not None and known.tags.get(_TAG_WORKSPACE) != self._workspace:
            raise ModelStoreError(
                f"The models called {self.name} in {self.tracking_uri} are another workspace's.",
                remedy="choose another model.name in a new workspace: an opt-out here would reach"
                " what is not ours.",
            )
        return client

    def _make_experiment(self, client: MlflowClient) -> str:
        """Make ours, wherever the server keeps files."""
        return str(client.create_experiment(self.name, tags={_TAG_WORKSPACE: self._workspace}))

    def _write(
        self,
        client: MlflowClient,
        model: LoggedModel,
        served_dir: Path,
        card: ModelCard,
        run_id: str,
    ) -> None:
        folder = self.root / ".sift" / "tmp" / f"registering-{model.model_id}"
        try:
            location = model.artifact_location
            write_model(folder, location, served_dir, card, run_id, model.model_id)
            client.log_model_artifacts(model.model_id, str(folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _folder(self, stored: StoredModel) -> Path:
        """Where a fetched copy lies."""
        return self.root / ".sift" / "tmp" / "fetched" / stored.locator

    def _stored(self, place: Place, locator: str) -> StoredModel:
        with self._store(f"look for {place} {locator}") as client:
            files = self._files(client, StoredModel(place, locator, 0))
        return StoredModel(place, locator, sum(files.values()))

    def _files(self, client: MlflowClient, stored: StoredModel) -> dict[str, int]:
        """The files of a model or a run, whether it has a row or not: path → bytes."""
        location = self._location_of(client, stored)
        return _all_files(self._artifacts(location)) if location else {}

    def _location_of(self, client: MlflowClient, stored: StoredModel) -> str | None:
        """Where MLflow puts the files of a model or a run; None where we never made any."""
        experiment = client.get_experiment_by_name(self.name)
        if experiment is None or stored.place == "mlflow-registry":
            return None
        folder = "models/" if stored.place == "mlflow-model" else ""
        return f"{experiment.artifact_location}/{folder}{stored.locator}/artifacts"

    def _artifacts(self, location: str) -> ArtifactRepository:
        return get_artifact_repository(
            location, tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri
        )

    # -- destroying ------------------------------------------------------------------------------

    def _require_own(self, stored: StoredModel, location: str) -> None:
        if location != self._location_of(self._client, stored):
            raise elsewhere(location, f"{self.root}, in {self.tracking_uri}")

    def _destroy_version(self, number: int) -> None:
        if self._database:
            self._database.destroy_version(self.name, number)
        elif found(self._client.get_model_version, self.name, str(number)):
            self._client.delete_model_version(self.name, str(number))

    def _destroy_model(self, client: MlflowClient, model_id: str) -> None:
        self._delete_files(client, StoredModel("mlflow-model", model_id, 0))
        if self._database:
            super()._destroy_model(client, model_id)
        elif found(client.get_logged_model, model_id):
            client.delete_logged_model(model_id)

    def _destroy_run(self, client: MlflowClient, run_id: str) -> None:
        self._delete_files(client, StoredModel("mlflow-run", run_id, 0))
        if self._database:
            super()._destroy_run(client, run_id)
        elif found(client.get_run, run_id):
            client.delete_run(run_id)

    def _delete_files(self, client: MlflowClient, stored: StoredModel) -> None:
        # By itself: rows may be gone already, and a killed process left the files.
        if self._files(client, stored):
            self._artifacts(str(self._location_of(client, stored))).delete_artifacts()

    def _rewrite_database(self) -> None:
        if self._database:
            self._database.vacuum()

    def _binned_models(self, client: MlflowClient) -> list[LoggedModel]:
        return super()._binned_models(client) if self._database else []

    def _deleted_versions(self) -> list[int]:
        return self._database.deleted_versions(self.name) if self._database else []

    def _sql_store(self, client: MlflowClient) -> Any:
        return self._required_database().store

    @cached_property
    def _database(self) -> ServerDatabase | None:
        """The database behind the server, where we know it and it is that one."""
        if self._database_url is None:
            return None
        database = ServerDatabase(self._database_url, self.tracking_uri)
        database.require_of(self.name, self._experiment(self._client))
        return database

    def _required_database(self) -> ServerDatabase:
        if self._database is None:
            raise NoDatabaseError(
                f"The files in {self.tracking_uri} are deleted. Rows that name them lie in its"
                " bin, of which it tells nothing.",
                remedy="set stores.mlflow_database, then run the same command again.",
            )
        return self._database


def _all_files(repository: ArtifactRepository, folder: str | None = None) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in repository.list_artifacts(folder):
        if entry.is_dir:
            found |= _all_files(repository, entry.path)
        else:
            found[entry.path] = entry.file_size or 0
    return found
