"""What is in MLflow: the versions of one model, their logged models and runs."""

from pathlib import Path

from mlflow.entities.model_registry import ModelVersion

from flows.integrations.mlflow.backend import (
    CHAMPION,
    TAG_MODEL,
    TAG_SEQ,
    TAG_STATE,
    Backend,
    Registered,
    all_pages,
    found,
)
from flows.integrations.mlflow.card import MEMBERS_FILE, SERVED_FOLDER


class Reading:
    """Questions about the versions of one model."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._name = backend.name

    def champion(self) -> int | None:
        """The champion's number, None where there is no champion."""
        if not self._backend.is_there():
            return None
        with self._backend.asking(f"look up the champion of {self._name}") as client:
            model = found(client.get_registered_model, self._name)
        return int(model.aliases[CHAMPION]) if model and CHAMPION in model.aliases else None

    def edition(self) -> int | None:
        """As `Backend.edition`; None also where there is no store yet."""
        return self._backend.edition() if self._backend.is_there() else None

    def rows(self) -> list[ModelVersion]:
        """Our versions; one that a user registered under the same name is none of them."""
        if not self._backend.is_there():  # a question makes no store
            return []
        with self._backend.asking(f"list the versions of {self._name}") as client:
            rows = all_pages(client.search_model_versions)
            return [row for row in rows if row.name == self._name and TAG_MODEL in row.tags]

    def registered(self) -> list[Registered]:
        """The same with the objects behind each, oldest first."""
        return sorted(map(Registered.of, self.rows()), key=lambda one: one.version)

    def versions(self) -> list[int]:
        """The numbers of all registered versions, oldest first."""
        return [row.version for row in self.registered()]

    def tags(self, number: int) -> dict[str, str]:
        """A version's tags. Raises ModelStoreError for a version that does not exist."""
        with self._backend.asking(f"read the tags of version {number} of {self._name}") as client:
            return dict(client.get_model_version(self._name, str(number)).tags)

    def experiment_id(self) -> str | None:
        """The experiment that our runs are in, None before the first one."""
        with self._backend.asking(f"look up the experiment of {self._name}") as client:
            known = client.get_experiment_by_name(self._name)
        return None if known is None else str(known.experiment_id)

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
            for row in self.rows()
            if row.tags.get(TAG_STATE) == state_sha256
            and state_seq in (None, int(row.tags.get(TAG_SEQ, 0)))
        ]
        return Registered.of(max(rows, key=lambda row: int(row.version))) if rows else None
