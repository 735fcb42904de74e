"""What the database of a workspace's own MLflow store says is there, read without MLflow.

MLflow takes seconds to import, and a status, a plan or a build with nothing to do only looks. Who
changes anything goes by MLflow itself.
"""

import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

from flows.integrations.mlflow.catalogue import BIN, CHAMPION, TAG_MODEL, TAG_STATE, VersionRow
from flows.integrations.mlflow.relocation import ModelStoreError

_VERSIONS = """
SELECT v.version, v.run_id, t.key, t.value
FROM model_versions v JOIN model_version_tags t USING (name, version)
WHERE name = :name AND v.current_stage <> :bin
"""
_BINNED = "SELECT version FROM model_versions WHERE name = :name AND current_stage = :bin"
_CHAMPION = "SELECT version FROM registered_model_aliases WHERE name = :name AND alias = :champion"
_EXPERIMENT = "SELECT experiment_id FROM experiments WHERE name = :name"
_MODELS = f"""
SELECT DISTINCT m.model_id
FROM logged_models m JOIN logged_model_tags t ON t.model_id = m.model_id
WHERE m.experiment_id = ({_EXPERIMENT}) AND t.tag_key = :tag ORDER BY 1
"""  # noqa: S608  our own words
_RUNS = f"""
SELECT DISTINCT r.run_uuid FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid
WHERE r.experiment_id = ({_EXPERIMENT}) AND t.key = :tag ORDER BY 1
"""  # noqa: S608  our own words


class OwnRows:
    """A `Catalogue` of the store at `database`. Every question raises ModelStoreError."""

    def __init__(self, database: Path, name: str, patience: float) -> None:
        """`patience`: seconds to wait for another process that is writing."""
        self._database, self._name, self._patience = database, name, patience

    def champion(self) -> int | None:
        """As `Catalogue.champion`."""
        found = self._asked("look up the champion", _CHAMPION, champion=CHAMPION)
        return int(found[0][0]) if found else None

    def versions(self) -> list[VersionRow]:
        """As `Catalogue.versions`."""
        runs: dict[int, str] = {}
        tags: defaultdict[int, dict[str, str]] = defaultdict(dict)
        for version, run, key, value in self._asked("list the versions", _VERSIONS, bin=BIN):
            runs[int(version)] = run
            tags[int(version)][key] = value
        return [
            VersionRow(version, runs[version], tags[version])
            for version in sorted(runs)
            if TAG_MODEL in tags[version]
        ]

    def binned_versions(self) -> list[int]:
        """As `Catalogue.binned_versions`."""
        rows = self._asked("look for deleted versions", _BINNED, bin=BIN)
        return sorted(int(row[0]) for row in rows)

    def experiment_id(self) -> str | None:
        """As `Catalogue.experiment_id`."""
        found = self._asked("look up the experiment", _EXPERIMENT)
        return str(found[0][0]) if found else None

    def models(self) -> list[str]:
        """As `Catalogue.models`."""
        return [row[0] for row in self._asked("look for models", _MODELS, tag=TAG_STATE)]

    def runs(self) -> list[str]:
        """As `Catalogue.runs`."""
        return [row[0] for row in self._asked("look for runs", _RUNS, tag=TAG_STATE)]

    def _asked(self, what: str, query: str, **named: str) -> list[Any]:
        if not self._database.exists():  # a question makes no store
            return []
        try:
            with closing(sqlite3.connect(self._database, timeout=self._patience)) as connection:
                return connection.execute(query, {"name": self._name, **named}).fetchall()
        except sqlite3.Error as error:
            raise ModelStoreError(
                f"MLflow could not {what} of {self._name}: {error}",
                remedy=busy(self._database),
            ) from error


def busy(database: Path) -> str:
    """What to do where a store does not answer."""
    return (
        f"end other processes that use {database}, then run the same command again; it goes on "
        "where it stopped."
    )
