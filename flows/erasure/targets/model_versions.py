"""Model versions in MLflow: registry row, model files, run."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import ClassVar, cast

from flows.erasure.request import Request
from flows.erasure.targets.target import Found, Impacts, Scope
from flows.integrations.mlflow.registry import Place, StoredModel
from lineage import Impact, PurgeObjectRecord


class ModelVersions:
    """Every version that was made with what is withdrawn."""

    labels: ClassVar[Mapping[str, str]] = {
        "mlflow-registry": "Model registry",
        "mlflow-model": "Model files",
        "mlflow-run": "Model run",
    }
    after_record: ClassVar[bool] = True

    def __init__(self, scope: Scope) -> None:
        self._mlflow = scope.workspace.mlflow

    def reach(self) -> None:
        """Ask for its versions."""
        self._mlflow.reading.versions()

    def prepare(self) -> None:
        """Nothing: the new version was made champion by an earlier step."""

    def find(self, requests: Sequence[Request], impacts: Impacts) -> dict[str, list[Found]]:
        """All that holds a version with something withdrawn in it, and leftovers of killed runs.

        And of a version that MLflow has lost the rows of, what lineage alone knows: its files may
        lie there all the same.
        """
        return {
            request.request_id: self._find(request, impacts[request.request_id])
            for request in requests
        }

    def _find(self, request: Request, impact: Impact) -> list[Found]:
        found = [
            Found(stored.place, "model_version", stored.locator, stored.bytes)
            for stored in self._mlflow.destruction.holders(row.version for row in impact.versions)
        ]
        there = {(one.place, one.locator) for one in found}
        left = [row for row in impact.versions if row.destroyed_at is None]
        lost = self.expected(request, impact.model_copy(update={"versions": left}))
        return found + [one for one in lost if (one.place, one.locator) not in there]

    def expected(self, request: Request, impact: Impact) -> list[Found]:
        """The three parts of every version that lineage knows."""
        return [
            Found(place, "model_version", locator)
            for row in impact.versions
            for place, locator in (
                ("mlflow-registry", str(row.version)),
                ("mlflow-model", row.mlflow_model_id),
                ("mlflow-run", row.mlflow_run_id),
            )
        ]

    def spared(self) -> Collection[str]:
        """Nothing: a version holds everyone, so it goes as a whole."""
        return ()

    def back(self) -> Collection[str]:
        """Nothing: no number and no id is given twice."""
        return ()

    def erase(self, rows: Iterable[PurgeObjectRecord]) -> None:
        """Destroy bytes and rows."""
        self._mlflow.destruction.destroy(map(_stored, rows))

    def still_there(self, rows: Iterable[PurgeObjectRecord]) -> list[PurgeObjectRecord]:
        """Ask the store and the disk again."""
        stored = {_stored(row): row for row in rows}
        return [stored[left] for left in self._mlflow.backend.still_there(stored)]


def _stored(row: PurgeObjectRecord) -> StoredModel:
    return StoredModel(cast(Place, row.place), row.locator, row.bytes or 0)
