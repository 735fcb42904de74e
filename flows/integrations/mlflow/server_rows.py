"""What a team's MLflow server says is there, asked through MLflow's client."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, ViewType

from flows.integrations.mlflow.catalogue import CHAMPION, TAG_MODEL, TAG_STATE, VersionRow
from flows.integrations.mlflow.looking import all_pages, found
from flows.integrations.mlflow.rows import ModelRows

Asking = Callable[[str], AbstractContextManager[MlflowClient]]


class ServerRows:
    """A `Catalogue` of a server; `rows` is the database behind it, None where it is not known."""

    def __init__(self, name: str, asking: Asking, rows: Callable[[], ModelRows | None]) -> None:
        self._name, self._asking, self._rows = name, asking, rows

    def champion(self) -> int | None:
        """As `Catalogue.champion`."""
        with self._asking(f"look up the champion of {self._name}") as client:
            model = found(client.get_registered_model, self._name)
        return int(model.aliases[CHAMPION]) if model and CHAMPION in model.aliases else None

    def versions(self) -> list[VersionRow]:
        """As `Catalogue.versions`."""
        with self._asking(f"list the versions of {self._name}") as client:
            rows = all_pages(client.search_model_versions)
        own = [row for row in rows if row.name == self._name and TAG_MODEL in row.tags]
        known = [VersionRow(int(row.version), row.run_id, dict(row.tags)) for row in own]
        return sorted(known, key=lambda row: row.version)

    def binned_versions(self) -> list[int]:
        """As `Catalogue.binned_versions`."""
        rows = self._rows()
        return rows.deleted_versions(self._name) if rows else []

    def experiment_id(self) -> str | None:
        """As `Catalogue.experiment_id`."""
        with self._asking(f"look up the experiment of {self._name}") as client:
            known = client.get_experiment_by_name(self._name)
        return None if known is None else str(known.experiment_id)

    def models(self) -> list[str]:
        """As `Catalogue.models`."""
        if (here := self.experiment_id()) is None:
            return []
        with self._asking(f"look for leftovers of {self._name}") as client:
            models = all_pages(client.search_logged_models, experiment_ids=[here])
            binned = self._binned_models()
        return [
            model.model_id
            for model in [*models, *binned]
            if model.experiment_id == here and TAG_STATE in model.tags
        ]

    def runs(self) -> list[str]:
        """As `Catalogue.runs`."""
        if (here := self.experiment_id()) is None:
            return []
        with self._asking(f"look for leftovers of {self._name}") as client:
            runs = all_pages(client.search_runs, experiment_ids=[here], run_view_type=ViewType.ALL)
        return [run.info.run_id for run in runs if TAG_STATE in run.data.tags]

    def _binned_models(self) -> list[LoggedModel]:
        """Models in MLflow's bin, which are in no search."""
        rows = self._rows()
        if rows is None:
            return []
        return [
            rows.store.get_logged_model(model_id, allow_deleted=True)
            for model_id in rows.store._get_deleted_logged_models()
        ]
