"""What is in MLflow: the versions of one model, their logged models and runs."""

from pathlib import Path

from flows.integrations.mlflow.backend import Backend
from flows.integrations.mlflow.card import MEMBERS_FILE, SERVED_FOLDER
from flows.integrations.mlflow.catalogue import TAG_MODEL, TAG_SEQ, TAG_STATE, Registered
from flows.integrations.mlflow.relocation import ModelStoreError


class Reading:
    """Questions about the versions of one model."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._name = backend.name

    def champion(self) -> int | None:
        """The champion's number, None where there is no champion."""
        return self._backend.catalogue.champion()

    def edition(self) -> int | None:
        """As `Backend.edition`; None also where there is no store yet."""
        return self._backend.edition() if self._backend.is_there() else None

    def registered(self) -> list[Registered]:
        """Our versions with the objects behind each, oldest first."""
        return list(map(Registered.of, self._backend.catalogue.versions()))

    def versions(self) -> list[int]:
        """The numbers of all registered versions, oldest first."""
        return [row.version for row in self._backend.catalogue.versions()]

    def tags(self, number: int) -> dict[str, str]:
        """A version's tags. Raises ModelStoreError for a version that does not exist."""
        for row in self._backend.catalogue.versions():
            if row.version == number:
                return dict(row.tags)
        raise ModelStoreError(
            f"MLflow has no version {number} of {self._name}.",
            remedy="run `sift build`, which registers the current state.",
        )

    def experiment_id(self) -> str | None:
        """The experiment that our runs are in, None before the first one."""
        return self._backend.catalogue.experiment_id()

    def served_folder(self, number: int) -> Path:
        """The folder of a version's unmasked model, as it was registered."""
        return self._weights(number) / SERVED_FOLDER

    def members_file(self, number: int) -> Path:
        """The file of a version's members' weights, where they are not anyone's."""
        return self._weights(number) / MEMBERS_FILE

    def _weights(self, number: int) -> Path:
        return self._backend.weights_folder(self.tags(number)[TAG_MODEL])

    def find_by_tag(self, state_sha256: str, state_seq: int | None = None) -> Registered | None:
        """The version of a merge state, the newest where there are several, or None.

        A state may recur (a contributor leaves and comes back): `state_seq` tells its times apart.
        """
        rows = [
            row
            for row in self._backend.catalogue.versions()
            if row.tags.get(TAG_STATE) == state_sha256
            and state_seq in (None, int(row.tags.get(TAG_SEQ, 0)))
        ]
        return Registered.of(rows[-1]) if rows else None
