"""Destroying model versions in MLflow, bytes and rows, and looking for each again.

MLflow's own deletion keeps the bytes of the model, the tags of the version and a row that names
the model's folder. `destroy` therefore does what `mlflow gc` does for exactly the objects it is
given (gc also sweeps whatever else a user has put in the bin, and moves the process's tracking
URI), deletes the rows, and rewrites the database file so that free pages keep no trace.
"""

import contextlib
import shutil
from collections.abc import Iterable
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, ViewType
from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from flows.errors import FlowError
from flows.integrations.mlflow.store import (
    TAG_STATE,
    ModelStore,
    StoredModel,
    all_pages,
    found,
    registered_row,
)
from flows.integrations.ownership import elsewhere

_VERSION_TABLES = ("model_version_tags", "registered_model_aliases", "model_versions")


class LiveModelError(FlowError):
    """A model version that is still needed was about to be destroyed."""


class DestroyingStore(ModelStore):
    """The models of one workspace, with the way to destroy a version for good."""

    def holders(self, versions: Iterable[int]) -> list[StoredModel]:
        """Return all that holds these versions, and every leftover of a killed `register`.

        In the order in which to destroy them. A version that is gone already adds nothing.
        """
        wanted = set(versions)
        rows = [registered_row(row) for row in self._rows() if int(row.version) in wanted]
        held: list[StoredModel] = []
        for row in sorted(rows, key=lambda row: row.version):
            held.append(StoredModel("mlflow-registry", str(row.version), 0))
            held.append(self._stored("mlflow-model", row.model_id))
            held.append(self._stored("mlflow-run", row.run_id))
        return held + self.leftovers()

    def leftovers(self) -> list[StoredModel]:
        """Return the models and runs of ours that no version points to, those in the bin too.

        And the rows of versions that somebody deleted by MLflow's own means: they are out of sight
        and still name the model. One that is newer than all versions stays until it is not, since
        MLflow would give its number again.
        """
        if not self._is_there():
            return []
        rows = [registered_row(row) for row in self._rows()]
        newest = max((row.version for row in rows), default=0)
        with self._store(f"look for leftovers of {self.name}") as client:
            lying = [
                StoredModel("mlflow-registry", str(number), 0)
                for number in self._deleted_versions()
                if number < newest
            ]
            lying += [self._stored("mlflow-model", locator) for locator in self._models(client)]
            lying += [self._stored("mlflow-run", locator) for locator in self._runs(client)]
        kept = {row.model_id for row in rows} | {row.run_id for row in rows}
        return [stored for stored in lying if stored.locator not in kept]

    def destroy(self, stored: Iterable[StoredModel]) -> None:
        """Destroy these objects, bytes and rows, then rewrite the database without their traces.

        What is gone already is passed over, so a killed call is repeated until it ends. Raises
        LiveModelError, before anything is touched, where one belongs to the champion or is the
        newest version (MLflow would give its number to the next one), and ForeignPlaceError where
        the store says that something of ours lies where we did not put it.
        """
        doomed = list(stored)
        if not doomed:
            return
        self._require_here()
        self._refuse_live(doomed)
        with self._store(f"destroy {len(doomed)} objects of {self.name}") as client:
            # Versions first: a version without its bytes would be a dangling row.
            for item in sorted(doomed, key=lambda item: item.place != "mlflow-registry"):
                if item.place == "mlflow-registry":
                    self._destroy_version(int(item.locator))
                elif item.place == "mlflow-model":
                    self._destroy_model(client, item.locator)
                else:
                    self._destroy_run(client, item.locator)
                self._sweep_folder(item)
            self._rewrite_database()

    def is_absent(self, stored: StoredModel) -> bool:
        """Look for an object again: True where no row, no folder and no byte of it is left.

        For a model or a run that means its id is nowhere in the database file either, free pages
        and journals included; a version's number is looked for in the registry's tables.
        """
        if stored.place == "mlflow-registry":
            if not self._is_there():
                return True
            with self._store(f"look for version {stored.locator} of {self.name}"):
                return self._version_rows(int(stored.locator)) == 0
        if self._folder(stored).exists():
            return False
        journals = [
            self.database.with_name(self.database.name + end) for end in ("-journal", "-wal")
        ]
        needle = stored.locator.encode("ascii")
        return not any(
            needle in file.read_bytes() for file in [self.database, *journals] if file.exists()
        )

    # -- inside ----------------------------------------------------------------------------------

    def _models(self, client: MlflowClient) -> list[str]:
        experiment = client.get_experiment_by_name(self.name)
        if experiment is None:
            return []
        here = [experiment.experiment_id]
        models = all_pages(client.search_logged_models, experiment_ids=here)
        return [
            model.model_id
            for model in [*models, *self._binned_models(client)]
            if model.experiment_id in here and TAG_STATE in model.tags
        ]

    def _binned_models(self, client: MlflowClient) -> list[LoggedModel]:
        """Models in MLflow's bin: they are in no search, yet all their bytes are there."""
        store = self._sql_store(client)
        return [
            store.get_logged_model(model_id, allow_deleted=True)
            for model_id in store._get_deleted_logged_models()
        ]

    def _runs(self, client: MlflowClient) -> list[str]:
        experiment = client.get_experiment_by_name(self.name)
        if experiment is None:
            return []
        here = [experiment.experiment_id]
        runs = all_pages(client.search_runs, experiment_ids=here, run_view_type=ViewType.ALL)
        return [run.info.run_id for run in runs if TAG_STATE in run.data.tags]

    def _deleted_versions(self) -> list[int]:
        with contextlib.closing(self._connect()) as connection:
            rows = connection.execute(
                "SELECT version FROM model_versions WHERE name = ? AND current_stage = ?",
                (self.name, STAGE_DELETED_INTERNAL),
            )
            return sorted(number for (number,) in rows)

    def _refuse_live(self, doomed: list[StoredModel]) -> None:
        champion = self.champion()
        rows = [registered_row(row) for row in self._rows()]
        newest = max((row.version for row in rows), default=None)
        named = {(item.place, item.locator) for item in doomed}
        for row in rows:
            parts = {
                ("mlflow-registry", str(row.version)),
                ("mlflow-model", row.model_id),
                ("mlflow-run", row.run_id),
            }
            if row.version in (champion, newest) and parts & named:
                raise LiveModelError(
                    f"Version {row.version} of {self.name} is the champion or the newest version.",
                    remedy="register its successor and make that the champion first.",
                )

    def _require_own(self, stored: StoredModel, location: str) -> None:
        """Raise ForeignPlaceError unless what is about to be deleted is the folder we made."""
        folder = self._folder(stored) / "artifacts"
        if location != folder.as_uri() or folder.resolve() != folder:
            raise elsewhere(location, str(self.root))

    def _destroy_version(self, number: int) -> None:
        # MLflow's delete_model_version leaves the tags and a row that names the model's folder.
        with contextlib.closing(self._connect()) as connection, connection:
            for table in _VERSION_TABLES:
                connection.execute(
                    f"DELETE FROM {table} WHERE name = ? AND version = ?",  # noqa: S608
                    (self.name, number),
                )

    def _version_rows(self, number: int) -> int:
        with contextlib.closing(self._connect()) as connection:
            return sum(
                connection.execute(
                    f"SELECT count(*) FROM {table} WHERE name = ? AND version = ?",  # noqa: S608
                    (self.name, number),
                ).fetchone()[0]
                for table in _VERSION_TABLES
            )

    def _sweep_folder(self, item: StoredModel) -> None:
        """Remove what MLflow leaves of the folder: the empty parents of the artifacts."""
        folder = self._folder(item)
        if item.place != "mlflow-registry" and folder.exists():
            shutil.rmtree(folder)

    def _rewrite_database(self) -> None:
        with contextlib.closing(self._connect()) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _sql_store(self, client: MlflowClient) -> Any:
        """The SQL store behind a client: only it deletes for good, as `mlflow gc` does."""
        return client._tracking_client.store

    def _artifacts(self, location: str) -> ArtifactRepository:
        """What deletes the files of a model or a run."""
        return get_artifact_repository(location)

    def _destroy_model(self, client: MlflowClient, model_id: str) -> None:
        store = self._sql_store(client)
        if model := found(store.get_logged_model, model_id, allow_deleted=True):
            self._require_own(StoredModel("mlflow-model", model_id, 0), model.artifact_location)
            self._artifacts(model.artifact_location).delete_artifacts()
            store._hard_delete_logged_model(model_id)

    def _destroy_run(self, client: MlflowClient, run_id: str) -> None:
        store = self._sql_store(client)
        if run := found(store.get_run, run_id):
            self._require_own(StoredModel("mlflow-run", run_id, 0), run.info.artifact_uri)
            self._artifacts(run.info.artifact_uri).delete_artifacts()
            store._hard_delete_run(run_id)
