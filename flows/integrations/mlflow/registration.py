"""Registering a model version in MLflow, and making it the champion."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flows.integrations.mlflow.backend import Backend
from flows.integrations.mlflow.card import ModelCard
from flows.integrations.mlflow.catalogue import (
    CHAMPION,
    TAG_MODEL,
    TAG_SEQ,
    TAG_STATE,
    Registered,
)
from flows.integrations.mlflow.destruction import Destruction
from flows.integrations.mlflow.reading import Reading

if TYPE_CHECKING:  # MLflow takes seconds to import, and who only looks does without
    from mlflow import MlflowClient


class Registration:
    """The way to register versions of one model, and to serve one."""

    def __init__(self, backend: Backend, reading: Reading, destruction: Destruction) -> None:
        self._backend = backend
        self._reading = reading
        self._destruction = destruction
        self._name = backend.name

    def register(
        self,
        weights: Path,
        card: ModelCard,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        after: int = 0,
    ) -> Registered:
        """Register the weights in a folder as a new version, not champion yet.

        Its number is higher than `after`, the last one that was given: a store that has lost its
        rows would begin at 1 again.

        `weights` holds a Hugging Face folder, SERVED_FOLDER, and perhaps MEMBERS_FILE. A
        version of the same merge state (sha256 and seq) is returned as it is: calling again after
        a kill at any point ends in one version and no leftovers. Raises ForeignPlaceError where the
        store would have it written outside of the workspace.
        """
        self._backend.require_here()
        if known := self._reading.find_by_tag(card.state_sha256, card.state_seq):
            return known
        self._destruction.destroy(self._destruction.leftovers())
        from mlflow.entities import LoggedModelStatus, Metric

        from flows.integrations.mlflow.looking import found

        with self._backend.asking(
            f"register {self._name} of merge state {card.state_seq}"
        ) as client:
            marks = {
                TAG_STATE: card.state_sha256,
                TAG_SEQ: str(card.state_seq),
                "sift.served_sha256": card.served_sha256,
                "sift.members_sha256": card.members_sha256,
                "sift.base_id": card.base_id,
                "sift.task": card.task,
                "sift.members": str(len(card.members)),
                **tags,
            }
            experiment_id = self._experiment(client)
            run_id = client.create_run(
                experiment_id, tags=marks, run_name=f"{self._name} state {card.state_seq}"
            ).info.run_id
            model = client.create_logged_model(
                experiment_id, name=self._name, source_run_id=run_id, tags=marks
            )
            self._backend.write_model(client, model, weights, card, run_id)
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
            if found(client.get_registered_model, self._name) is None:
                client.create_registered_model(self._name)
            self._pass_over(client, after)
            created = client.create_model_version(
                self._name,
                source=model.artifact_location,
                run_id=run_id,
                model_id=model.model_id,
                tags={**marks, TAG_MODEL: model.model_id},
            )
            return Registered(int(created.version), run_id, model.model_id)

    def _pass_over(self, client: MlflowClient, after: int) -> None:
        """Use up the numbers that a store has forgotten: they lie in its bin then, as leftovers."""
        number = max(
            [
                *(row.version for row in self._reading.registered()),
                *self._backend.catalogue.binned_versions(),
            ],
            default=0,
        )
        while number < after:
            lost = client.create_model_version(self._name, source=self._backend.root.as_uri())
            number = int(lost.version)
            client.delete_model_version(self._name, lost.version)

    def set_champion(self, number: int) -> None:
        """Make a version the champion: `models:/<name>@champion` is this version from now on."""
        if self._reading.champion() == number:
            return
        with self._backend.asking(f"make version {number} of {self._name} the champion") as client:
            client.get_model_version(self._name, str(number))
            client.set_registered_model_alias(self._name, CHAMPION, str(number))

    def attach(self, number: int, files: Iterable[Path], folder: str) -> None:
        """Copy files beside a version, into its run's artifacts under `folder`; again is the same.

        They are destroyed with the version. Raises ModelStoreError where it does not exist,
        ForeignPlaceError as `register`.
        """
        self._backend.require_here()
        with self._backend.asking(f"attach {folder} to version {number} of {self._name}") as client:
            run_id = client.get_model_version(self._name, str(number)).run_id
            for path in files:
                client.log_artifact(run_id, str(path), folder)

    def _experiment(self, client: MlflowClient) -> str:
        known = client.get_experiment_by_name(self._name)
        if known is not None:
            return str(known.experiment_id)
        return self._backend.make_experiment(client)
