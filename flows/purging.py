"""Destroying what must be destroyed, and looking for each of it again.

S_old − S_new *is* τ_u: so with the contributor's rows, vector and mask go every superseded merge
state and model version that contained them. Of some withdrawn records the same goes: every dataset
that held one, and all that was made from these datasets. The new version is champion before the
first byte goes. The list of objects is kept in lineage; a killed purge goes on with it.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from flows.doors.dvc import StoredObject
from flows.doors.mlflow import Place as ModelPlace
from flows.doors.mlflow import StoredModel
from flows.errors import FlowError
from flows.merging import current_state_or_none
from flows.registering import commit, require_same_name
from flows.removal import Removal
from flows.sweeping import needed_files
from lineage import Impact, PurgeObject

WORKSPACE = "workspace"
_MLFLOW = {"mlflow-registry", "mlflow-model", "mlflow-run"}


class StillThereError(FlowError):
    """An object was destroyed and is found again."""


def purge(removal: Removal) -> None:
    """Destroy every artifact of the contributor; record each, and that each is absent.

    Raises StillThereError, DvcError, ModelStoreError; the request then stays before `purged`, and
    running it again goes on.
    """
    require_same_name(removal.workspace)
    impact = removal.impact()
    _purge_workspace(removal, impact)
    built = current_state_or_none(removal.workspace) is not None
    head = commit(removal.workspace, f"Opt out: {removal.request_id}") if built else None
    shared = _purge_dvc(removal, impact)
    _purge_mlflow(removal, impact)
    _forget(removal, impact)
    removal.done("purged", {"commit": head, "kept_because_shared": shared})


def _purge_workspace(removal: Removal, impact: Impact) -> None:
    place, key = removal.workspace, removal.key
    files = _files(removal, impact)
    current = current_state_or_none(place)
    keep = place.state_file(current.state_sha256) if current else None
    files |= {path: "merge_state" for path in place.merge.iterdir() if path != keep}
    found = [(path, kind) for path, kind in files.items() if path.exists()]
    _plan(
        removal,
        [
            _object(removal, WORKSPACE, kind, _relative(removal, path), path.stat().st_size)
            for path, kind in found
        ],
    )
    for path, _ in found:
        path.unlink()
    # From here on nothing that reads lineage asks for these files any more.
    with place.lineage.writer() as recorder:
        recorder.mark_artifacts_destroyed(
            datetime.now(UTC), datasets=[(key, row.sha256) for row in impact.datasets]
        )
    _settle(removal, {WORKSPACE}, lambda row: not (place.root / row.locator).exists())


def _files(removal: Removal, impact: Impact) -> dict[Path, str]:
    """Files of contributors to destroy: all of this one, or those that held withdrawn records.

    A file that the remaining rows made too (the withdrawn ones had been held out) stays.
    """
    place, key = removal.workspace, removal.key
    if removal.request.records is None:
        return place.files_of(key)
    files = {place.data_file(key, row.sha256): "dataset" for row in impact.datasets}
    for row in impact.vectors:
        files[place.vector_file(key, row.vector_sha256)] = "vector"
        files[place.mask_file(key, row.mask_sha256)] = "mask"
    needed = needed_files(place)
    return {path: kind for path, kind in files.items() if path not in needed}


def _purge_dvc(removal: Removal, impact: Impact) -> list[str]:
    """Cache and remote, by content. What another contributor needs too survives; its digests."""
    dvc = removal.workspace.dvc
    kinds = {row.md5: "dataset" for row in impact.datasets}
    kinds |= {row.vector_md5: "vector" for row in impact.vectors}
    kinds |= {row.mask_md5: "mask" for row in impact.vectors}
    kinds |= {row.md5: "merge_state" for row in impact.states}
    live = dvc.live_objects()
    shared = sorted(kinds.keys() & live)
    held = [stored for stored in dvc.holders(kinds) if stored.md5 not in live]
    _plan(
        removal,
        [
            _object(
                removal,
                stored.place,
                kinds.get(stored.md5, "dvc_directory"),
                stored.md5,
                stored.bytes,
            )
            for stored in held
        ],
    )
    dvc.destroy(held)
    _settle(
        removal,
        {"dvc-cache", "dvc-remote"},
        lambda row: dvc.is_absent(StoredObject(row.place, row.locator, "", row.bytes or 0)),
        # Somebody may have brought the same content while this purge was interrupted.
        spared=live,
    )
    return shared


def _purge_mlflow(removal: Removal, impact: Impact) -> None:
    mlflow = removal.workspace.mlflow
    held = mlflow.holders(row.version for row in impact.versions)
    _plan(
        removal,
        [
            _object(removal, stored.place, "model_version", stored.locator, stored.bytes)
            for stored in held
        ],
    )
    # All that was ever planned: a killed run may have destroyed a row, by which alone MLflow would
    # find the folder again, and not yet the folder.
    mlflow.destroy(_stored_model(row) for row in _planned(removal, _MLFLOW))
    _settle(removal, _MLFLOW, lambda row: mlflow.is_absent(_stored_model(row)))


def _stored_model(row: PurgeObject) -> StoredModel:
    return StoredModel(cast(ModelPlace, row.place), row.locator, row.bytes or 0)


def _forget(removal: Removal, impact: Impact) -> None:
    """Lineage keeps digests and the keyed hash; the name goes, from the file's free pages too.

    Who withdrew some records only keeps their name. Digests of single records stay only where a
    request named them.
    """
    current = current_state_or_none(removal.workspace)
    now = datetime.now(UTC)
    with removal.workspace.lineage.writer() as recorder:
        recorder.mark_artifacts_destroyed(
            now,
            runs=[row.run_id for row in impact.vectors],
            states=[row.state_seq for row in impact.states if row != current],
            versions=[(row.name, row.version) for row in impact.versions],
        )
        requests = recorder.read.requests()
        named = [row.records or () for row in requests if row.contributor_key == removal.key]
        recorder.forget_records(removal.key, {record for own in named for record in own})
        if removal.request.records is None:
            recorder.mark_erased(removal.key, now)
    removal.workspace.lineage.rewrite()


def _plan(removal: Removal, objects: Iterable[PurgeObject]) -> None:
    with removal.workspace.lineage.writer() as recorder:
        recorder.plan_purge(objects)


def _object(removal: Removal, place: str, kind: str, locator: str, size: int | None) -> PurgeObject:
    return PurgeObject(
        request_id=removal.request_id,
        place=place,
        kind=kind,
        locator=locator,
        bytes=size,
        planned_at=datetime.now(UTC),
    )


def _planned(removal: Removal, places: set[str]) -> list[PurgeObject]:
    with removal.workspace.lineage.reader() as reader:
        return [row for row in reader.purge_objects(removal.request_id) if row.place in places]


def _settle(
    removal: Removal,
    places: set[str],
    absent: Callable[[Any], bool],
    spared: Collection[str] = (),
) -> None:
    """Look for every planned object of these places again, and record that it is gone."""
    rows = [row for row in _planned(removal, places) if row.locator not in spared]
    now = datetime.now(UTC)
    for row in rows:
        if not absent(row):
            raise StillThereError(
                f"{row.kind} {row.locator} is still in {row.place}.",
                remedy=f"see who holds it, then run `sift opt-out run {removal.request_id}`.",
            )
    with removal.workspace.lineage.writer() as recorder:
        for row in rows:
            recorder.mark_destroyed(removal.request_id, row.place, row.locator, now)
            recorder.mark_absent(removal.request_id, row.place, row.locator, now)


def _relative(removal: Removal, path: Path) -> str:
    return path.relative_to(removal.workspace.root).as_posix()
