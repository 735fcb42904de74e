"""The door to MLflow: register a model version, move the champion, and really destroy one.

What a version consists of is said in `store.py`, how one is destroyed in
`destruction.py`. Runs and models that no version points to are leftovers of a killed
`register`.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus, Metric
from mlflow.utils.file_utils import local_file_uri_to_path

from flows.integrations.mlflow.card import ModelCard
from flows.integrations.mlflow.destruction import DestroyingStore, LiveModelError
from flows.integrations.mlflow.model_folder import write_model
from flows.integrations.mlflow.relocation import ModelStoreError
from flows.integrations.mlflow.store import (
    CHAMPION,
    TAG_MODEL,
    TAG_SEQ,
    TAG_STATE,
    Place,
    Registered,
    StoredModel,
    found,
    registered_row,
)

__all__ = [
    "CHAMPION",
    "TAG_MODEL",
    "TAG_SEQ",
    "TAG_STATE",
    "LiveModelError",
    "Mlflow",
    "ModelStoreError",
    "Place",
    "Registered",
    "StoredModel",
]


class Mlflow(DestroyingStore):
    """The models of one workspace, under one registered name: to register, to serve, to destroy."""

    def register(
        self,
        served_dir: Path,
        card: ModelCard,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        after: int = 0,
    ) -> Registered:
        """Register the served folder as a new version, not champion yet.

        Its number is higher than `after`, the last one that was given: a store that has lost its
        rows would begin at 1 again.

        `served_dir` is a Hugging Face folder, copied into the model as the artifact `served`. A
        version of the same merge state (sha256 and seq) is returned as it is: calling again after
        a kill at any point ends in one version and no leftovers. Raises ForeignPlaceError where the
        store would have it written outside of the workspace.
        """
        self._require_here()
        if known := self.find_by_tag(card.state_sha256, card.state_seq):
            return known
        self.destroy(self.leftovers())
        with self._store(f"register {self.name} of merge state {card.state_seq}") as client:
            marks = {
                TAG_STATE: card.state_sha256,
                TAG_SEQ: str(card.state_seq),
                "sift.served_sha256": card.served_sha256,
                "sift.base_id": card.base_id,
                "sift.task": card.task,
                "sift.members": str(len(card.members)),
                **tags,
            }
            experiment_id = self._experiment(client)
            run_id = client.create_run(
                experiment_id, tags=marks, run_name=f"{self.name} state {card.state_seq}"
            ).info.run_id
            model = client.create_logged_model(
                experiment_id, name=self.name, source_run_id=run_id, tags=marks
            )
            self._write(client, model, served_dir, card, run_id)
            now = int(time.time() * 1000)
            client.log_batch(
                run_id,
                metrics=[
                    Metric(key, value, now, 0, model_id=model.model_id, run_id=run_id)
                    for key, value in metrics.items()
                ],
            )
            client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
            client.set_terminated(run_id)
            if found(client.get_registered_model, self.name) is None:
                client.create_registered_model(self.name)
            self._pass_over(client, after)
            created = client.create_model_version(
                self.name,
                source=model.artifact_location,
                run_id=run_id,
                model_id=model.model_id,
                tags={**marks, TAG_MODEL: model.model_id},
            )
            return registered_row(created)

    def _pass_over(self, client: MlflowClient, after: int) -> None:
        """Use up the numbers that a store has forgotten: they lie in its bin then, as leftovers."""
        number = max([*self.versions(), *self._deleted_versions()], default=0)
        while number < after:
            lost = client.create_model_version(self.name, source=self.artifacts.as_uri())
            number = int(lost.version)
            client.delete_model_version(self.name, lost.version)

    def set_champion(self, number: int) -> None:
        """Make a version the champion: `models:/<name>@champion` is this version from now on."""
        with self._store(f"make version {number} of {self.name} the champion") as client:
            client.get_model_version(self.name, str(number))
            client.set_registered_model_alias(self.name, CHAMPION, str(number))

    def attach(self, number: int, files: Iterable[Path], folder: str) -> None:
        """Copy files beside a version, into its run's artifacts under `folder`; again is the same.

        They are destroyed with the version. Raises ModelStoreError where it does not exist,
        ForeignPlaceError as `register`.
        """
        self._require_here()
        with self._store(f"attach {folder} to version {number} of {self.name}") as client:
            run_id = client.get_model_version(self.name, str(number)).run_id
            for path in files:
                client.log_artifact(run_id, str(path), folder)

    def _experiment(self, client: MlflowClient) -> str:
        known = client.get_experiment_by_name(self.name)
        if known is not None:
            return str(known.experiment_id)
        return self._make_experiment(client)

    def _make_experiment(self, client: MlflowClient) -> str:
        """Make the experiment that runs and models lie in; return its id."""
        return str(client.create_experiment(self.name, artifact_location=self.artifacts.as_uri()))

    def _write(
        self,
        client: MlflowClient,
        model: LoggedModel,
        served_dir: Path,
        card: ModelCard,
        run_id: str,
    ) -> None:
        """Write the files of a logged model where MLflow keeps them."""
        folder = Path(local_file_uri_to_path(model.artifact_location))
        write_model(folder, folder.as_uri(), served_dir, card, run_id, model.model_id)
