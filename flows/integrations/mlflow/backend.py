"""What a store of MLflow's is to us: where the versions of one model are, and who else is there.

A backend is `OwnStore`, in the workspace, or `SharedServer`, a team's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from flows.integrations.mlflow.card import ModelCard
from flows.integrations.mlflow.catalogue import Catalogue, StoredModel

if TYPE_CHECKING:  # MLflow takes seconds to import, and who only looks does without
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

    from flows.integrations.mlflow.rows import ModelRows


class Backend(Protocol):
    """Where the models of one workspace are, under one registered name."""

    root: Path
    name: str

    @property
    def tracking_uri(self) -> str:
        """What MLflow's own calls are told to go to."""

    @property
    def catalogue(self) -> Catalogue:
        """What is there."""

    @property
    def rows(self) -> ModelRows | None:
        """The database, None where it is not known: then nothing is deleted for good."""

    def asking(self, what: str) -> contextlib.AbstractContextManager[MlflowClient]:
        """Give a client to do this with; raises ModelStoreError for whatever MLflow says."""

    def is_there(self) -> bool:
        """Whether there is a store yet: a question makes none."""

    def edition(self) -> int | None:
        """A number that is another once anybody has written; None where that cannot be told."""

    def require_here(self) -> None:
        """Raise ForeignPlaceError where a row of ours names a place that is not ours."""

    def require_own(self, stored: StoredModel, location: str) -> None:
        """Raise ForeignPlaceError unless what is about to be deleted is where we put it."""

    def make_experiment(self, client: MlflowClient) -> str:
        """Make the experiment that runs and models lie in; its id."""

    def write_model(
        self, client: MlflowClient, model: LoggedModel, weights: Path, card: ModelCard, run_id: str
    ) -> None:
        """Write the files of a logged model where MLflow keeps them."""

    def weights_folder(self, model_id: str) -> Path:
        """What was registered as a logged model: SERVED_FOLDER, and perhaps MEMBERS_FILE."""

    def size(self, stored: StoredModel) -> int:
        """Bytes of its files."""

    def delete_files(self, stored: StoredModel) -> None:
        """Delete its files, and what MLflow leaves of its folder; none is no error."""

    def still_there(self, stored: Iterable[StoredModel]) -> list[StoredModel]:
        """Those of which a row, a file or a byte is left."""
