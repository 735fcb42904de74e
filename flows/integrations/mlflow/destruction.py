"""Destroying model versions in MLflow, bytes and rows, and looking for each again.

MLflow's own deletion keeps the bytes of the model, the tags of the version and a row that names
the model's folder. `destroy` therefore does what `mlflow gc` does for exactly the objects it is
given (gc also sweeps whatever else a user has put in the bin, and moves the process's tracking
URI), deletes the rows (`rows.py`), and rewrites the database so that free pages keep no trace.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flows.errors import FlowError
from flows.integrations.mlflow.backend import Backend
from flows.integrations.mlflow.catalogue import Place, StoredModel
from flows.integrations.mlflow.reading import Reading

if TYPE_CHECKING:  # MLflow takes seconds to import, and who only looks does without
    from mlflow import MlflowClient


class LiveModelError(FlowError):
    """A model version that is still needed was about to be destroyed."""


class Destruction:
    """The way to destroy versions of one model for good."""

    def __init__(self, backend: Backend, reading: Reading) -> None:
        self._backend = backend
        self._reading = reading
        self._name = backend.name

    def holders(self, versions: Iterable[int]) -> list[StoredModel]:
        """All that holds these versions, and every leftover of a killed registration.

        In the order in which to destroy them. A version that is gone already adds nothing.
        """
        wanted = set(versions)
        held: list[StoredModel] = []
        for row in self._reading.registered():
            if row.version in wanted:
                held.append(StoredModel("mlflow-registry", str(row.version), 0))
                held.append(self._stored("mlflow-model", row.model_id))
                held.append(self._stored("mlflow-run", row.run_id))
        return held + self.leftovers()

    def leftovers(self) -> list[StoredModel]:
        """The models and runs of ours that no version points to, those in the bin too.

        And the rows of versions that somebody deleted by MLflow's own means: they are out of sight
        and still name the model. One that is newer than all versions stays until it is not, since
        MLflow would give its number again.
        """
        if not self._backend.is_there():
            return []
        rows = self._reading.registered()
        newest = max((row.version for row in rows), default=0)
        there = self._backend.catalogue
        lying = [
            StoredModel("mlflow-registry", str(number), 0)
            for number in there.binned_versions()
            if number < newest
        ]
        lying += [self._stored("mlflow-model", locator) for locator in there.models()]
        lying += [self._stored("mlflow-run", locator) for locator in there.runs()]
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
        self._backend.require_here()
        self._refuse_live(doomed)
        with self._backend.asking(f"destroy {len(doomed)} objects of {self._name}") as client:
            # Versions first: a version without its bytes would be a dangling row.
            for item in sorted(doomed, key=lambda item: item.place != "mlflow-registry"):
                if item.place == "mlflow-registry":
                    self._destroy_version(client, int(item.locator))
                elif item.place == "mlflow-model":
                    self._destroy_model(client, item)
                else:
                    self._destroy_run(client, item)
            if self._backend.rows:
                self._backend.rows.vacuum()

    def _refuse_live(self, doomed: list[StoredModel]) -> None:
        champion, rows = self._reading.champion(), self._reading.registered()
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
                    f"Version {row.version} of {self._name} is the champion or the newest version.",
                    remedy="register its successor and make that the champion first.",
                )

    def _destroy_version(self, client: MlflowClient, number: int) -> None:
        from flows.integrations.mlflow.looking import found

        if rows := self._backend.rows:
            rows.destroy_version(self._name, number)
        elif found(client.get_model_version, self._name, str(number)):
            client.delete_model_version(self._name, str(number))

    def _destroy_model(self, client: MlflowClient, item: StoredModel) -> None:
        from flows.integrations.mlflow.looking import found

        rows = self._backend.rows
        look = rows.store.get_logged_model if rows else client.get_logged_model
        model = found(look, item.locator, **({"allow_deleted": True} if rows else {}))
        if model:
            self._backend.require_own(item, model.artifact_location)
        self._backend.delete_files(item)
        if model and rows:
            rows.store._hard_delete_logged_model(item.locator)
        elif model:
            client.delete_logged_model(item.locator)

    def _destroy_run(self, client: MlflowClient, item: StoredModel) -> None:
        from flows.integrations.mlflow.looking import found

        rows = self._backend.rows
        run = found((rows.store if rows else client).get_run, item.locator)
        if run:
            self._backend.require_own(item, run.info.artifact_uri)
        self._backend.delete_files(item)
        if run and rows:
            rows.store._hard_delete_run(item.locator)
        elif run:
            client.delete_run(item.locator)

    def _stored(self, place: Place, locator: str) -> StoredModel:
        return StoredModel(place, locator, self._backend.size(StoredModel(place, locator, 0)))
