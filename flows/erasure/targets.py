"""The places that hold what a request withdraws: what lies there, how it goes, is it gone.

Discovery and destruction use one list. `sift opt-out plan` only asks; a purge asks, writes the
answer into lineage, and destroys what stands there. A place that cannot be reached still has a
list: what lineage knows must be in it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from flows.erasure.removal import Removal
from flows.integrations.dvc.repository import Place as DvcPlace
from flows.integrations.dvc.repository import StoredObject
from flows.integrations.mlflow.registry import Place as ModelPlace
from flows.integrations.mlflow.registry import StoredModel
from flows.models.superseded import needed_files
from flows.workspace.current_state import current_state_or_none
from flows.workspace.workspace import Workspace
from lineage import Impact, PurgeObjectRecord

WORKSPACE = "workspace"
Impacts = Mapping[str, Impact]
"""Request id → everything that holds what the request withdraws."""


@dataclass(frozen=True)
class Found:
    """One object to destroy: where it lies, what it is, its size in bytes where that is known."""

    place: str
    kind: str
    locator: str
    bytes: int | None = None


class Holding(Protocol):
    """One place, or several of one kind."""

    places: frozenset[str]
    """The names of the places, as lineage and reports have them."""

    def find(self, removals: Sequence[Removal], impacts: Impacts) -> dict[str, list[Found]]:
        """Look for all that must go: request id → objects. Changes nothing."""

    def expected(self, removal: Removal, impact: Impact) -> list[Found]:
        """What must be there by lineage alone, for a place that cannot be reached."""

    def spared(self) -> Collection[str]:
        """Locators of what somebody who stays needs too."""

    def destroy(self, rows: Iterable[PurgeObjectRecord]) -> None:
        """Destroy what is there of these; what is gone already is passed over."""

    def still_there(self, rows: Iterable[PurgeObjectRecord]) -> list[PurgeObjectRecord]:
        """Look for them again: those that are not gone."""


class Files:
    """The workspace's own files."""

    places = frozenset({WORKSPACE})

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def find(self, removals: Sequence[Removal], impacts: Impacts) -> dict[str, list[Found]]:
        """Files of contributors, and every merge state but one that nothing withdrawn is in."""
        return {
            removal.request_id: [
                Found(WORKSPACE, kind, self._locator(path), path.stat().st_size)
                for path, kind in self._files(removal, impacts[removal.request_id]).items()
                if path.exists()
            ]
            for removal in removals
        }

    def expected(self, removal: Removal, impact: Impact) -> list[Found]:
        """What `find` finds: this place is always within reach."""
        return self.find([removal], {removal.request_id: impact})[removal.request_id]

    def spared(self) -> Collection[str]:
        """Nothing: a file here belongs to one contributor."""
        return ()

    def destroy(self, rows: Iterable[PurgeObjectRecord]) -> None:
        """Unlink the files."""
        for row in rows:
            (self._workspace.root / row.locator).unlink(missing_ok=True)

    def still_there(self, rows: Iterable[PurgeObjectRecord]) -> list[PurgeObjectRecord]:
        """Look whether the files are there."""
        return [row for row in rows if (self._workspace.root / row.locator).exists()]

    def _files(self, removal: Removal, impact: Impact) -> dict[Path, str]:
        """All files of this contributor, or those that held withdrawn records; states.

        Of some records, a file that the remaining rows made too (the withdrawn ones had been held
        out) stays.
        """
        place, key = self._workspace, removal.key
        if removal.request.records is None:
            files = place.files_of(key)
        else:
            files = {place.data_file(key, row.sha256): "dataset" for row in impact.datasets}
            for row in impact.vectors:
                files[place.vector_file(key, row.vector_sha256)] = "vector"
                files[place.mask_file(key, row.mask_sha256)] = "mask"
            needed = needed_files(place) - (_own_files(place, key) if _is_member(impact) else set())
            files = {path: kind for path, kind in files.items() if path not in needed}
        current = current_state_or_none(place)
        stays = current is not None and current not in impact.states
        keep = place.state_file(current.state_sha256) if current and stays else None
        states = sorted(path for path in place.merge.iterdir() if path != keep)
        # Nobody can tell whose data a hostile worker's files hold; damaged ones say whose they are.
        hostile = [*sorted(place.quarantine.glob("*.bin")), *place.quarantine.glob(f"{key}-*")]
        return files | dict.fromkeys(states, "merge_state") | dict.fromkeys(hostile, "quarantined")

    def _locator(self, path: Path) -> str:
        return path.relative_to(self._workspace.root).as_posix()


class DvcObjects:
    """DVC's cache or its remote, by content. `needed` are the MD5s of what others need too."""

    def __init__(self, workspace: Workspace, place: DvcPlace, needed: Collection[str]) -> None:
        self.places: frozenset[str] = frozenset({place})
        self._place = place
        self._dvc = workspace.dvc
        self._needed = needed

    def find(self, removals: Sequence[Removal], impacts: Impacts) -> dict[str, list[Found]]:
        """Objects with withdrawn content, and every folder listing that names one of them.

        The store is walked once, so a listing stands with each of these requests.
        """
        kinds = {name: _kinds_by_md5(impact) for name, impact in impacts.items()}
        held = self._dvc.holders(set().union(*kinds.values()), [self._place])
        return {
            removal.request_id: [
                Found(self._place, own.get(row.md5, "dvc_directory"), row.md5, row.bytes)
                for own in [kinds[removal.request_id]]
                for row in held
                if row.md5 not in self._needed and (row.md5 in own or row.md5.endswith(".dir"))
            ]
            for removal in removals
        }

    def expected(self, removal: Removal, impact: Impact) -> list[Found]:
        """The content that lineage knows; listings cannot be known."""
        return [
            Found(self._place, kind, md5)
            for md5, kind in sorted(_kinds_by_md5(impact).items())
            if md5 not in self._needed
        ]

    def spared(self) -> Collection[str]:
        """What others need: shared content, also what somebody brought a moment ago."""
        return self._needed

    def destroy(self, rows: Iterable[PurgeObjectRecord]) -> None:
        """Delete the objects, and what remembers them."""
        self._dvc.destroy(map(self._stored, rows), [self._place])

    def still_there(self, rows: Iterable[PurgeObjectRecord]) -> list[PurgeObjectRecord]:
        """Ask the store again."""
        stored = {self._stored(row): row for row in rows}
        return [stored[left] for left in self._dvc.still_there(stored)]

    def _stored(self, row: PurgeObjectRecord) -> StoredObject:
        return StoredObject(self._place, row.locator, "", row.bytes or 0)


class ModelVersions:
    """Model versions in MLflow: registry row, model files, run."""

    places = frozenset({"mlflow-registry", "mlflow-model", "mlflow-run"})

    def __init__(self, workspace: Workspace) -> None:
        self._mlflow = workspace.mlflow

    def find(self, removals: Sequence[Removal], impacts: Impacts) -> dict[str, list[Found]]:
        """All that holds a version with something withdrawn in it, and leftovers of killed runs.

        And of a version that MLflow has lost the rows of, what lineage alone knows: its files may
        lie there all the same.
        """
        return {
            removal.request_id: self._find(removal, impacts[removal.request_id])
            for removal in removals
        }

    def _find(self, removal: Removal, impact: Impact) -> list[Found]:
        found = [
            Found(stored.place, "model_version", stored.locator, stored.bytes)
            for stored in self._mlflow.holders(row.version for row in impact.versions)
        ]
        there = {(one.place, one.locator) for one in found}
        left = [row for row in impact.versions if row.destroyed_at is None]
        lost = self.expected(removal, impact.model_copy(update={"versions": left}))
        return found + [one for one in lost if (one.place, one.locator) not in there]

    def expected(self, removal: Removal, impact: Impact) -> list[Found]:
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

    def destroy(self, rows: Iterable[PurgeObjectRecord]) -> None:
        """Destroy bytes and rows."""
        self._mlflow.destroy(map(_stored_model, rows))

    def still_there(self, rows: Iterable[PurgeObjectRecord]) -> list[PurgeObjectRecord]:
        """Ask the store and the disk again."""
        return [row for row in rows if not self._mlflow.is_absent(_stored_model(row))]


def _stored_model(row: PurgeObjectRecord) -> StoredModel:
    return StoredModel(cast(ModelPlace, row.place), row.locator, row.bytes or 0)


def _kinds_by_md5(impact: Impact) -> dict[str, str]:
    kinds = {row.md5: "dataset" for row in impact.datasets}
    kinds |= {row.vector_md5: "vector" for row in impact.vectors}
    kinds |= {row.mask_md5: "mask" for row in impact.vectors}
    return kinds | {row.md5: "merge_state" for row in impact.states}


def shared_content(impact: Impact, needed: Collection[str]) -> list[str]:
    """MD5 of withdrawn content that stays, because another contributor gave the same."""
    return sorted(_kinds_by_md5(impact).keys() & set(needed))


def _is_member(impact: Impact) -> bool:
    """Whether something withdrawn is in the data of today: the request has removed nothing yet."""
    return any(row.superseded_at is None and row.destroyed_at is None for row in impact.datasets)


def _own_files(place: Workspace, key: str) -> set[Path]:
    return set(place.files_of(key))
