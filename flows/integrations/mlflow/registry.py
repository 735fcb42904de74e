"""MLflow as this house uses it: register a version, move the champion, and really destroy one.

`Mlflow` is made of parts: what is there (`reading.py`), how a version comes (`registration.py`),
how one goes (`destruction.py`), over a backend that says where rows and files are: `own_store.py`
in the workspace, `shared_server.py` where a team shares one. Runs and models that no version points
to are leftovers of a killed registration.
"""

from pathlib import Path

from flows.integrations.mlflow.backend import Backend
from flows.integrations.mlflow.catalogue import (
    CHAMPION,
    TAG_MODEL,
    TAG_SEQ,
    TAG_STATE,
    Place,
    Registered,
    StoredModel,
)
from flows.integrations.mlflow.destruction import Destruction, LiveModelError
from flows.integrations.mlflow.own_store import OwnStore
from flows.integrations.mlflow.reading import Reading
from flows.integrations.mlflow.registration import Registration
from flows.integrations.mlflow.relocation import ModelStoreError

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


class Mlflow:
    """The models of one workspace, under one registered name: to register, to serve, to destroy."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.name = backend.name
        self.reading = Reading(backend)
        self.destruction = Destruction(backend, self.reading)
        self.registration = Registration(backend, self.reading, self.destruction)

    @property
    def tracking_uri(self) -> str:
        """What MLflow's own calls are told to go to."""
        return self.backend.tracking_uri

    @classmethod
    def own(cls, root: Path, name: str) -> "Mlflow":
        """Over the store in a workspace."""
        return cls(OwnStore(root, name))
