"""What a store of MLflow's says is there of one model: questions alone, and no change.

Three things in MLflow make up a version, and each is called a *place* here:

- `mlflow-registry`: the row that gives the version its number, with tags and aliases;
- `mlflow-model`: the logged model, that is the bytes under `mlruns/models/m-…`;
- `mlflow-run`: the run with its metrics and tags.

The version's row is written last and in one transaction with its tags, so a version that can be
found is whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

CHAMPION = "champion"
TAG_STATE = "sift.state_sha256"
TAG_SEQ = "sift.state_seq"
TAG_MODEL = "sift.model_id"
BIN = "Deleted_Internal"
"""The stage of a version that was deleted: `STAGE_DELETED_INTERNAL` of MLflow's."""

Place = Literal["mlflow-registry", "mlflow-model", "mlflow-run"]


@dataclass(frozen=True)
class VersionRow:
    """A version's row in the registry: its number, its run and its tags."""

    version: int
    run_id: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Registered:
    """One registered model version and the two MLflow objects behind it."""

    version: int
    run_id: str
    model_id: str

    @classmethod
    def of(cls, row: VersionRow) -> "Registered":
        """The version behind a row of the registry."""
        return cls(row.version, row.run_id, row.tags[TAG_MODEL])


@dataclass(frozen=True)
class StoredModel:
    """One object in MLflow that holds (a part of) a model version.

    `locator` is the version's number, the model's id or the run's id; `bytes` what its folder
    holds, 0 for a registry row.
    """

    place: Place
    locator: str
    bytes: int


class Catalogue(Protocol):
    """What is there; every question raises ModelStoreError where the store does not answer."""

    def champion(self) -> int | None:
        """The champion's number, None where there is no champion."""

    def versions(self) -> list[VersionRow]:
        """Our versions, oldest first; one that a user registered under our name is none of them."""

    def binned_versions(self) -> list[int]:
        """The numbers of versions in MLflow's bin, as far as they can be told."""

    def experiment_id(self) -> str | None:
        """The experiment that our runs are in, None before the first one."""

    def models(self) -> list[str]:
        """The ids of our logged models, those in the bin too: all their bytes are there."""

    def runs(self) -> list[str]:
        """The ids of our runs, those in the bin too."""
