"""What lineage says is there, held against what the disk really holds.

Each comparison goes both ways: what no row knows, and rows whose bytes are gone or altered. It
yields findings and changes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from flows.data.dataset_file import is_salted
from flows.data.datasets import load_dataset
from flows.errors import UsageError
from flows.models.superseded import needed_files
from flows.workspace.recorded_file import (
    RecordedFile,
    dataset_file,
    mask_file,
    state_file,
    vector_file,
)
from flows.workspace.workspace import Workspace
from lineage import (
    DatasetVersionRecord,
    Finding,
    MergeStateRecord,
    ModelVersionRecord,
    TaskVectorRecord,
)

_CHECKOUT = "restore it with `dvc checkout`, or run `sift build`."
UNKNOWN = "find out who put it there, then remove it: no opt-out would find it."


@dataclass(frozen=True)
class Stock:
    """All artifacts that lineage knows of, and the workspace to look in."""

    workspace: Workspace

    @cached_property
    def datasets(self) -> list[DatasetVersionRecord]:
        """Every dataset version there has been."""
        with self.workspace.lineage.reader() as reader:
            return reader.all_dataset_versions()

    @cached_property
    def vectors(self) -> list[TaskVectorRecord]:
        """Every task vector there has been."""
        with self.workspace.lineage.reader() as reader:
            return reader.all_task_vectors()

    @cached_property
    def states(self) -> list[MergeStateRecord]:
        """Every merge state there has been."""
        with self.workspace.lineage.reader() as reader:
            return reader.states()

    @cached_property
    def versions(self) -> list[ModelVersionRecord]:
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
                remedy="restore the lineage store from a backup: the id was altered.",
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
            file = dataset_file(self.workspace, row)
            content = file.content() if file.path in needed else None
            if content is None:
                continue  # `files` speaks of it
            if not is_salted(content):
                continue  # a release before salts named its records otherwise
            records = load_dataset(self.workspace, row).records(self.workspace.digests)
            if records != recorded.get((row.contributor_key, row.sha256)):
                yield Finding(
                    where=f"dataset_records {row.contributor_key} {row.sha256[:16]}…",
                    found="the hashes of records are not those of the rows in the file.",
                    remedy="restore the lineage store from a backup: the row was altered.",
                )

    # ---- disk --------------------------------------------------------------------------------

    def files(self) -> Iterator[Finding]:
        """Find files that no row knows, and rows in use whose file is gone or altered."""
        workspace = self.workspace
        known = self._known_files()
        folders = (workspace.data, *workspace.vector_folders, workspace.masks, workspace.merge)
        present = {path for folder in folders if folder.is_dir() for path in folder.iterdir()}
        for path in sorted(present):
            file = known.get(path)
            if path not in known:
                yield self._file(path, "no row of lineage knows this file.", UNKNOWN)
            elif file is None:
                yield self._file(path, "lineage says that this file was destroyed.", UNKNOWN)
            elif not file.is_whole:
                yield self._file(path, "it is not the bytes that lineage recorded.", _CHECKOUT)
        for path in sorted(self._needed() - present):
            yield self._file(path, "it is gone, and lineage says that it is in use.", _CHECKOUT)

    def _known_files(self) -> dict[Path, RecordedFile | None]:
        """Every file that lineage has known, by path; None where it was destroyed."""
        workspace = self.workspace
        known: dict[Path, RecordedFile | None] = {}

        def know(file: RecordedFile, gone: object) -> None:
            # The same content may come back after it was destroyed: then the file is known.
            if known.get(file.path) is None:
                known[file.path] = None if gone else file

        for data in self.datasets:
            know(dataset_file(workspace, data), data.destroyed_at)
        for row in self.vectors:
            vector = vector_file(workspace, row)
            for folder in workspace.vector_folders:
                there = replace(vector, path=folder / vector.path.name)
                know(there, row.destroyed_at or row.dropped_at)
            know(mask_file(workspace, row), row.destroyed_at)
        for state in self.states:
            know(state_file(workspace, state), state.destroyed_at)
        return known

    def _needed(self) -> set[Path]:
        workspace = self.workspace
        dropped = {
            workspace.vector_file(row.contributor_key, row.vector_sha256)
            for row in self.vectors
            if row.dropped_at or row.destroyed_at
        }
        current = {workspace.state_file(self.states[-1].state_sha256)} if self.states else set()
        return (needed_files(workspace) - dropped) | current

    def _file(self, path: Path, found: str, remedy: str) -> Finding:
        where = path.relative_to(self.workspace.root).as_posix()
        return Finding(where=where, found=found, remedy=remedy)
