"""What lineage says is there, held against what the disk, DVC and MLflow really hold.

Each comparison goes both ways: what no row knows, and rows whose bytes are gone or altered. It
yields findings and changes nothing.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import sift_core
from flows.base import load_base
from flows.doors.mlflow import TAG_STATE
from flows.errors import UsageError
from flows.ingest import load_dataset
from flows.sweeping import needed_files
from flows.verifying import ExactnessError, stored_weights_sha256
from flows.workspace import Workspace
from lineage import DatasetVersion, Finding, MergeState, ModelVersion, TaskVector

_OF_A_CONTRIBUTOR = re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}\.\w+")
_CHECKOUT = "restore it with `dvc checkout`, or run `sift build`."
_UNKNOWN = "find out who put it there, then remove it: no opt-out would find it."


@dataclass(frozen=True)
class Stock:
    """All artifacts that lineage knows of, and the workspace to look in."""

    workspace: Workspace

    @cached_property
    def datasets(self) -> list[DatasetVersion]:
        """Every dataset version there has been."""
        with self.workspace.lineage.reader() as reader:
            return reader.all_dataset_versions()

    @cached_property
    def vectors(self) -> list[TaskVector]:
        """Every task vector there has been."""
        with self.workspace.lineage.reader() as reader:
            return reader.all_task_vectors()

    @cached_property
    def states(self) -> list[MergeState]:
        """Every merge state there has been."""
        with self.workspace.lineage.reader() as reader:
            return reader.states()

    @cached_property
    def versions(self) -> list[ModelVersion]:
        """Every model version there has been."""
        with self.workspace.lineage.reader() as reader:
            return reader.model_versions()

    # ---- names and records -------------------------------------------------------------------

    def names(self) -> Iterator[Finding]:
        """Find outside ids that are not the ones the contributor keys were made from."""
        with self.workspace.lineage.reader() as reader:
            rows = reader.contributors()
        for row in rows:
            if row.external_id is None or self._is_key_of(row.contributor_key, row.external_id):
                continue
            yield Finding(
                where=f"contributor {row.contributor_key}",
                found="the id in this row is not the one that the key was made from.",
                remedy="restore lineage.duckdb from a backup: the id was altered.",
            )

    def _is_key_of(self, key: str, external_id: str) -> bool:
        try:
            return self.workspace.key_of(external_id) == key
        except UsageError:  # not an id at all
            return False

    def records(self) -> Iterator[Finding]:
        """Find datasets whose recorded hashes of records are not those of the rows in the file."""
        with self.workspace.lineage.reader() as reader:
            recorded = {
                (row.contributor_key, row.sha256): set(row.records)
                for row in reader.dataset_records()
            }
        needed = needed_files(self.workspace)
        for row in self.datasets:
            path = self.workspace.data_file(row.contributor_key, row.sha256)
            if path not in needed or not _is(path, row.sha256):
                continue  # `files` speaks of it
            if load_dataset(self.workspace, row).records != recorded.get(
                (row.contributor_key, row.sha256)
            ):
                yield Finding(
                    where=f"dataset_records {row.contributor_key} {row.sha256[:16]}…",
                    found="the hashes of records are not those of the rows in the file.",
                    remedy="restore lineage.duckdb from a backup: the row was altered.",
                )

    # ---- disk --------------------------------------------------------------------------------

    def files(self) -> Iterator[Finding]:
        """Find files that no row knows, and rows in use whose file is gone or altered."""
        place = self.workspace
        known = self._known_files()
        folders = (place.data, *place.vector_folders, place.masks, place.merge)
        present = {path for folder in folders if folder.is_dir() for path in folder.iterdir()}
        for path in sorted(present):
            if path not in known:
                yield self._file(path, "no row of lineage knows this file.", _UNKNOWN)
            elif known[path] is None:
                yield self._file(path, "lineage says that this file was destroyed.", _UNKNOWN)
            elif not _is(path, known[path]):
                yield self._file(path, "it is not the bytes that lineage recorded.", _CHECKOUT)
        for path in sorted(self._needed() - present):
            yield self._file(path, "it is gone, and lineage says that it is in use.", _CHECKOUT)

    def _known_files(self) -> dict[Path, str | None]:
        """Path → SHA-256 of every file that lineage has known; None where it was destroyed."""
        place = self.workspace
        known: dict[Path, str | None] = {}

        def know(path: Path, sha256: str, gone: object) -> None:
            # The same content may come back after it was destroyed: then the file is known.
            if known.get(path) is None:
                known[path] = None if gone else sha256

        for data in self.datasets:
            path = place.data_file(data.contributor_key, data.sha256)
            know(path, data.sha256, data.destroyed_at)
        for row in self.vectors:
            vector = place.vector_file(row.contributor_key, row.vector_sha256).name
            for folder in place.vector_folders:
                know(folder / vector, row.vector_sha256, row.destroyed_at or row.dropped_at)
            mask = place.mask_file(row.contributor_key, row.mask_sha256)
            know(mask, row.mask_sha256, row.destroyed_at)
        for state in self.states:
            know(place.state_file(state.state_sha256), state.state_sha256, state.destroyed_at)
        return known

    def _needed(self) -> set[Path]:
        place = self.workspace
        dropped = {
            place.vector_file(row.contributor_key, row.vector_sha256)
            for row in self.vectors
            if row.dropped_at or row.destroyed_at
        }
        current = {place.state_file(self.states[-1].state_sha256)} if self.states else set()
        return (needed_files(place) - dropped) | current

    def _file(self, path: Path, found: str, remedy: str) -> Finding:
        where = path.relative_to(self.workspace.root).as_posix()
        return Finding(where=where, found=found, remedy=remedy)

    # ---- DVC ---------------------------------------------------------------------------------

    def dvc(self) -> Iterator[Finding]:
        """Find objects in cache and remote that no row knows, that should be gone, or are lost."""
        inventory = self.workspace.dvc.inventory()
        kept, gone = self._content()
        for stored in inventory.altered:
            yield Finding(
                where=f"{stored.place} {stored.md5}",
                found="the content of this object is not the one it is named by.",
                remedy="delete it, then restore it: `dvc push` or `dvc fetch`.",
            )
        for stored in inventory.objects:
            if stored.md5 in kept or stored.md5 in inventory.live:
                continue
            if stored.md5 in gone:
                found = "lineage says that this object was destroyed."
            elif stored.md5.endswith(".dir") or _is_public(inventory.names.get(stored.md5, ())):
                continue
            else:
                found = "no row of lineage knows this object."
            yield Finding(where=f"{stored.place} {stored.md5}", found=found, remedy=_UNKNOWN)
        for place in ("dvc-cache", "dvc-remote"):
            there = {stored.md5 for stored in inventory.objects if stored.place == place}
            for md5 in sorted(inventory.live - there):
                yield Finding(
                    where=f"{place} {md5}",
                    found="a current entry needs this object, and it is not there.",
                    remedy="`dvc push` brings it to the remote, `dvc fetch` to the cache.",
                )
        for md5 in sorted(self._in_use() - inventory.live):
            yield Finding(
                where=f"dvc {md5}",
                found="what is in the current merge is not recorded in DVC.",
                remedy="run `sift build`, or `sift opt-out run` where a request is open.",
            )

    def _content(self) -> tuple[set[str], set[str]]:
        """MD5 of everything that lineage says exists, and of what it says is gone."""
        rows: list[tuple[str, object]] = []
        rows += [(row.md5, row.destroyed_at) for row in self.datasets]
        rows += [(row.vector_md5, row.destroyed_at or row.dropped_at) for row in self.vectors]
        rows += [(row.mask_md5, row.destroyed_at) for row in self.vectors]
        rows += [(row.md5, row.destroyed_at) for row in self.states]
        kept = {md5 for md5, destroyed in rows if not destroyed}
        return kept, {md5 for md5, _ in rows} - kept

    def _in_use(self) -> set[str]:
        """MD5 of the current state and of its members' files that are kept."""
        if not self.states:
            return set()
        state = self.states[-1]
        with self.workspace.lineage.reader() as reader:
            members = {row.run_id for row in reader.members(state.state_seq)}
            datasets = {row.md5 for row in reader.member_datasets(state.state_seq)}
        rows = [row for row in self.vectors if row.run_id in members]
        vectors = {row.vector_md5 for row in rows if not row.dropped_at}
        return {state.md5} | datasets | vectors | {row.mask_md5 for row in rows}

    # ---- MLflow ------------------------------------------------------------------------------

    def mlflow(self) -> Iterator[Finding]:
        """Find versions that lineage or MLflow alone has, altered ones, and leftovers."""
        mlflow = self.workspace.mlflow
        registered = set(mlflow.versions())
        known = {row.version: row for row in self.versions}
        for number in sorted(registered - known.keys()):
            yield self._version(number, "no row of lineage knows this version.", _UNKNOWN)
        for number, row in sorted(known.items()):
            if row.destroyed_at is None and number not in registered:
                yield self._version(
                    number,
                    "it is gone, and lineage says that it exists.",
                    "restore mlflow.db and mlruns/ from a backup, or run `sift build`.",
                )
            elif row.destroyed_at is not None and number in registered:
                yield self._version(number, "lineage says that it was destroyed.", _UNKNOWN)
            elif row.destroyed_at is None:
                yield from self._altered(row)
        for stored in mlflow.leftovers():
            yield Finding(
                where=f"{stored.place} {stored.locator}",
                found="no version points to it.",
                remedy="the next `sift build` or opt-out removes what a killed process left.",
            )

    def _altered(self, row: ModelVersion) -> Iterator[Finding]:
        mlflow = self.workspace.mlflow
        state = next(state for state in self.states if state.state_seq == row.state_seq)
        backup = "restore mlflow.db and mlruns/ from a backup."
        if mlflow.version_tags(row.version).get(TAG_STATE) != state.state_sha256:
            found = "it is tagged with another merge state than lineage says."
            yield self._version(row.version, found, backup)
        trainable = set(load_base(self.workspace).trainable)
        try:
            served = stored_weights_sha256(mlflow.served_folder(row.version), trainable)
        except ExactnessError as error:
            yield self._version(row.version, error.facts, error.remedy)
            return
        if served != row.served_sha256:
            yield self._version(
                row.version, "its weights are not those that lineage recorded.", backup
            )

    def _version(self, number: int, found: str, remedy: str) -> Finding:
        name = self.workspace.mlflow.name
        return Finding(where=f"mlflow {name} version {number}", found=found, remedy=remedy)

    # ---- reports -----------------------------------------------------------------------------

    def reports(self) -> Iterator[Finding]:
        """Find requests that ended without their report, and reports of no request."""
        with self.workspace.lineage.reader() as reader:
            ended = {
                row.request_id: any(s.step == "reported" for s in reader.steps(row.request_id))
                for row in reader.requests()
            }
        for request_id in sorted(one for one, reported in ended.items() if reported):
            for name in ("report.json", "report.html"):
                if not (self.workspace.reports / request_id / name).is_file():
                    yield Finding(
                        where=f"reports/{request_id}/{name}",
                        found="it is gone, and lineage says that it was written.",
                        remedy="restore the report from a backup or from whom it was sent to.",
                    )
        for folder in sorted(self.workspace.reports.glob("opt-out-*")):
            if folder.name not in ended:
                yield Finding(
                    where=f"reports/{folder.name}",
                    found="lineage has no such request: it may be older than the report.",
                    remedy="restore lineage.duckdb from a newer backup.",
                )


def _is(path: Path, sha256: str | None) -> bool:
    return path.is_file() and sift_core.file_sha256(path) == sha256


def _is_public(names: Iterable[str]) -> bool:
    """Whether listings name the object, and as nothing of a contributor: a base model's file."""
    listed: list[Any] = list(names)
    return bool(listed) and not any(_OF_A_CONTRIBUTOR.search(name) for name in listed)
