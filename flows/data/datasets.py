"""A contributor's dataset: its rows in canonical form, split, stored and recorded."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from flows.data.dataset_file import row_lines, stored_bytes, stored_rows
from flows.data.rows import record_json
from flows.errors import FlowError, UsageError
from flows.hashing import DigestKey
from flows.workspace.recorded_file import dataset_file
from flows.workspace.workspace import Workspace
from lineage import ContributorRecord, DatasetContentRecord, DatasetVersionRecord, Recorder
from sift_bytes import md5_of, sha256_of


class DatasetAlteredError(FlowError):
    """A stored dataset is not the bytes that lineage recorded."""


@dataclass
class Dataset:
    """The rows of one contributor in canonical form."""

    external_id: str
    key: str
    train: list[dict[str, Any]] = field(default_factory=list)
    test: list[dict[str, Any]] = field(default_factory=list)
    task: Literal["classification", "generation"] = "generation"
    places: dict[str, str] = field(default_factory=dict, compare=False)
    """What a record says → file and line it was read from."""

    def to_bytes(self, digests: DigestKey) -> bytes:
        """The stored file: the salt, then the rows, those that train first."""
        lines = row_lines(self.train, self.test)
        return stored_bytes(digests.salt(self.key, lines), lines)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All stored rows, training rows first. Rows of one group keep the order they came in."""
        return [*self.train, *self.test]

    def records(self, digests: DigestKey) -> set[str]:
        """The keyed hash of every record."""
        return {digests.record(self.key, record_json(row)) for row in self.rows}


def load_dataset(workspace: Workspace, record: DatasetVersionRecord) -> Dataset:
    """The stored rows of a contributor. Raises DatasetAlteredError where the bytes differ."""
    file = dataset_file(workspace, record)
    data = file.content()
    if data is None:
        raise DatasetAlteredError(
            f"{file.path} is not the dataset that lineage recorded.",
            remedy="restore it with `dvc checkout data`, or by `sift contributors add` with the "
            "contributor's rows.",
        )
    train, test = stored_rows(data)
    return Dataset("", record.contributor_key, train, test, record.task)


def split_rows(name: str, key: str, rows: Iterable[dict[str, Any]], held_out: float) -> Dataset:
    """The dataset of one contributor's rows, in stored form.

    Holds out the groups whose digests come first, so a split depends on the rows alone: splitting
    what is left of a dataset gives what these rows would have given had the others never come.
    Raises UsageError where all rows are one group.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(_digest(row.get("item") or record_json(row)), []).append(row)
    ordered = [groups[digest] for digest in sorted(groups)]
    if len(ordered) < 2:
        raise UsageError(
            f"All rows of contributor {name!r} are one group: nothing could be held out.",
            remedy="give rows of at least two different texts (or values of `item`).",
        )
    total = sum(len(group) for group in ordered)
    wanted = max(1, math.floor(total * held_out))
    dataset = Dataset(name, key)
    for index, group in enumerate(ordered):
        last = index == len(ordered) - 1
        target = dataset.test if len(dataset.test) < wanted and not last else dataset.train
        target.extend(group)
    if "label" in dataset.train[0]:
        dataset.task = "classification"
    return dataset


def record_dataset(
    recorder: Recorder, dataset: Dataset, digests: DigestKey, supersedes: str | None
) -> None:
    """Record a contributor's current dataset, in place of the one with SHA-256 `supersedes`."""
    data, now = dataset.to_bytes(digests), datetime.now(UTC)
    sha256, records = sha256_of(data), tuple(dataset.records(digests))
    if supersedes is None:
        recorder.add(
            ContributorRecord(
                contributor_key=dataset.key, external_id=dataset.external_id, added_at=now
            )
        )
    else:
        recorder.supersede_dataset(dataset.key, supersedes, now)
    recorder.add(DatasetContentRecord(contributor_key=dataset.key, sha256=sha256, records=records))
    recorder.add(
        DatasetVersionRecord(
            contributor_key=dataset.key,
            sha256=sha256,
            md5=md5_of(data),
            bytes=len(data),
            train_rows=len(dataset.train),
            test_rows=len(dataset.test),
            task=dataset.task,
            added_at=now,
        )
    )


def _digest(text: str) -> str:
    return sha256_of(text.encode())
