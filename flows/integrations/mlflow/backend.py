"""What a store of MLflow's is to us: where the versions of one model are, and who else is there.

Three things in MLflow make up a version, and each is called a *place* here:

- `mlflow-registry`: the row that gives the version its number, with tags and aliases;
- `mlflow-model`: the logged model, that is the bytes under `mlruns/models/m-…`;
- `mlflow-run`: the run with its metrics and tags.

The version's row is written last and in one transaction with its tags, so a version that can be
found is whole. A backend is `OwnStore`, in the workspace, or `SharedServer`, a team's.
"""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from mlflow import MlflowClient
from mlflow.entities import LoggedModel
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from flows.integrations.mlflow.card import ModelCard
from flows.integrations.mlflow.rows import ModelRows

CHAMPION = "champion"
TAG_STATE = "sift.state_sha256"
TAG_SEQ = "sift.state_seq"
TAG_MODEL = "sift.model_id"

Place = Literal["mlflow-registry", "mlflow-model", "mlflow-run"]


@dataclass(frozen=True)
class Registered:
    """One registered model version and the two MLflow objects behind it."""

    version: int
    run_id: str
    model_id: str

    @classmethod
    def of(cls, row: ModelVersion) -> "Registered":
        """The version behind a row of the registry."""
        return cls(int(row.version), row.run_id, row.tags[TAG_MODEL])


@dataclass(frozen=True)
class StoredModel:
    """One object in MLflow that holds (a part of) a model version.

    `locator` is the version's number, the model's id or the run's id; `bytes` what its folder
    holds, 0 for a registry row.
    """

    place: Place
    locator: str
    bytes: int


class Backend(Protocol):
    """Where the models of one workspace are, under one registered name."""

    root: Path
    name: str
    tracking_uri: str

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


def found(look: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a look-up returns, None where MLflow says that there is no such thing."""
    try:
        return look(*args, **kwargs)
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return None
        raise


def all_pages(search: Callable[..., Any], **kwargs: Any) -> list[Any]:
    """Everything that a paged search of MLflow finds."""
    found: list[Any] = []
    token = None
    while True:
        page = search(**kwargs, page_token=token)
        found += page
        token = page.token
        if not token:
            return found
