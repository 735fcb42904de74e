"""MLflow as this house uses it: register a version, move the champion, and really destroy one.

`Mlflow` is made of parts: what is there (`reading.py`), how a version comes (`registration.py`),
how one goes (`destruction.py`), over a backend that says where rows and files are: `own_store.py`
in the workspace, `shared_server.py` where a team shares one. Runs and models that no version points
to are leftovers of a killed registration.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from flows.integrations.mlflow.backend import (
    CHAMPION,
    TAG_MODEL,
    TAG_SEQ,
    TAG_STATE,
    Backend,
    Place,
    Registered,
    StoredModel,
)
from flows.integrations.mlflow.card import ModelCard
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
        self.tracking_uri = backend.tracking_uri
        self._reading = Reading(backend)
        self._destruction = Destruction(backend, self._reading)
        self._registration = Registration(backend, self._reading, self._destruction)

    @classmethod
    def own(cls, root: Path, name: str) -> "Mlflow":
        """Over the store in a workspace."""
        return cls(OwnStore(root, name))

    def champion(self) -> int | None:
        """As `Reading.champion`."""
        return self._reading.champion()

    def versions(self) -> list[int]:
        """The numbers of all registered versions, oldest first."""
        return [row.version for row in self._reading.registered()]

    def version_tags(self, number: int) -> dict[str, str]:
        """As `Reading.tags`."""
        return self._reading.tags(number)

    def experiment_id(self) -> str | None:
        """As `Reading.experiment_id`."""
        return self._reading.experiment_id()

    def served_folder(self, number: int) -> Path:
        """As `Reading.served_folder`."""
        return self._reading.served_folder(number)

    def find_by_tag(self, state_sha256: str, state_seq: int | None = None) -> Registered | None:
        """As `Reading.find_by_tag`."""
        return self._reading.find_by_tag(state_sha256, state_seq)

    def register(
        self,
        served_dir: Path,
        card: ModelCard,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        after: int = 0,
    ) -> Registered:
        """As `Registration.register`."""
        return self._registration.register(served_dir, card, metrics, tags, after)

    def set_champion(self, number: int) -> None:
        """As `Registration.set_champion`."""
        self._registration.set_champion(number)

    def attach(self, number: int, files: Iterable[Path], folder: str) -> None:
        """As `Registration.attach`."""
        self._registration.attach(number, files, folder)

    def holders(self, versions: Iterable[int]) -> list[StoredModel]:
        """As `Destruction.holders`."""
        return self._destruction.holders(versions)

    def leftovers(self) -> list[StoredModel]:
        """As `Destruction.leftovers`."""
        return self._destruction.leftovers()

    def destroy(self, stored: Iterable[StoredModel]) -> None:
        """As `Destruction.destroy`."""
        self._destruction.destroy(stored)

    def still_there(self, stored: Iterable[StoredModel]) -> list[StoredModel]:
        """As `Backend.still_there`."""
        return self.backend.still_there(stored)
