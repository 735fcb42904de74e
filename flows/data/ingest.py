"""Contributors' files in, validated and content-addressed datasets out.

Everything is checked before anything is written; a refused file changes nothing.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from flows.data.dataset_file import row_lines, stored_bytes, stored_rows
from flows.data.look_alikes import require_two_people
from flows.data.readers import read_rows
from flows.data.readmission import require_not_withdrawn, returning
from flows.data.rows import Kind, LabelledRow, Row, kinds_for, parse_row, record_json
from flows.errors import FlowError, UsageError
from flows.hashing import DigestKey, md5_of
from flows.training.readable_rows import require_readable
from flows.workspace.identity import normal_id
from flows.workspace.texts import (
    MAX_NAME_LENGTH,
    MAX_REASON_LENGTH,
    login_name,
    require_nameless,
    require_text,
)
from flows.workspace.workspace import Workspace
from lineage import Contributor, DatasetRecords, DatasetVersion, Distinction, Recorder
from sift_core import sha256_of, write_atomically

Status = Literal["added", "replaced", "restored", "unchanged"]


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


@dataclass(frozen=True)
class Added:
    """What became of one contributor in `add_contributors`.

    `restored`: the rows are the recorded ones, and their damaged file was written again.
    """

    contributor: str
    key: str
    status: Status
    train_rows: int
    test_rows: int


def add_contributors(
    workspace: Workspace,
    files: Sequence[Path],
    *,
    replace: bool = False,
    rejoin: str | None = None,
    two_people: Collection[str] = (),
    recorded_by: str | None = None,
) -> list[Added]:
    """Validate files of rows and make them the current datasets of their contributors.

    A contributor whose rows are unchanged stays as they are; one with other rows is refused
    unless `replace`. Whoever has opted out comes back by new consent alone: `rejoin` says where it
    is kept. Who looks like somebody else is refused unless named in `two_people`. `recorded_by` is
    who says either (None: the login name). Raises UsageError with the line and the remedy,
    LookAlikeError, WithdrawnRecordsError for a record that its contributor has withdrawn; then
    nothing has changed. A row that the base model cannot read is refused too; for that, the base
    model is made where it is missing. Raises ModelError where it cannot be.
    """
    datasets = read_datasets(workspace, files)
    by = recorded_by or login_name()
    if rejoin is not None or two_people:
        require_text("name", by, MAX_NAME_LENGTH)
        require_nameless([dataset.external_id for dataset in datasets], rejoin, by)
    if rejoin is not None:
        require_text("consent", rejoin, MAX_REASON_LENGTH)
    with workspace.lock():
        require_readable(workspace, datasets)
        with workspace.lineage.reader() as reader:
            current = {row.contributor_key: row.sha256 for row in reader.current_datasets()}
            standing = {row.key: reader.standing_requests(row.key) for row in datasets}
            waiting = {
                row.request_id
                for own in standing.values()
                for row in own
                if reader.next_step(row.request_id)
            }
            distinct = require_two_people(workspace, reader, datasets, two_people)
        back = returning(datasets, standing, waiting) if rejoin is not None else set()
        for dataset in datasets:
            if dataset.key not in back:
                records = dataset.records(workspace.digests)
                require_not_withdrawn(dataset.external_id, records, standing[dataset.key])
        plan = [(dataset, _status(workspace, dataset, current, replace)) for dataset in datasets]
        _store(
            workspace,
            [(dataset, status) for dataset, status in plan if status != "unchanged"],
            current,
            [(key, by, rejoin) for key in sorted(back) if rejoin is not None],
            [(key, other, by) for key, other in sorted(distinct)],
        )
    return [Added(d.external_id, d.key, status, len(d.train), len(d.test)) for d, status in plan]


def read_datasets(workspace: Workspace, files: Sequence[Path]) -> list[Dataset]:
    """Read and check files of rows; one dataset per contributor, in order of id."""
    _require_once(files)
    rows: dict[str, list[Row]] = {}
    spellings: dict[str, str] = {}
    keys: dict[str, str] = {}
    labels = workspace.settings.base.labels
    kinds = kinds_for(labels)
    places: dict[str, dict[str, str]] = {}
    for path in files:
        for where, fields in read_rows(path, kinds):
            row = _checked(where, fields, kinds, labels)
            if row.contributor not in keys:
                keys[row.contributor] = _key(workspace, where, row.contributor)
            key = keys[row.contributor]
            if spellings.setdefault(key, row.contributor) != row.contributor:
                raise UsageError(
                    f"{where}: contributor {row.contributor!a} is the same as "
                    f"{spellings[key]!a} in another Unicode spelling.",
                    remedy="write an id in one way; nothing was added.",
                )
            rows.setdefault(key, []).append(row)
            places.setdefault(key, {}).setdefault(record_json(row.stored()), where)
    settings = workspace.settings.data
    datasets = []
    for key, own in sorted(rows.items(), key=lambda item: spellings[item[0]]):
        name = normal_id(spellings[key])
        if len(own) < settings.min_rows:
            raise UsageError(
                f"Contributor {name!r} has {len(own)} row{'s'[: len(own) - 1]}, fewer than "
                f"{settings.min_rows}: some train, some are held out.",
                remedy="add rows for this contributor, or leave them out.",
            )
        dataset = split_rows(name, key, [row.stored() for row in own], settings.held_out)
        dataset.places.update(places[key])
        datasets.append(dataset)
    return datasets


def load_dataset(workspace: Workspace, record: DatasetVersion) -> Dataset:
    """The stored rows of a contributor. Raises DatasetAlteredError where the bytes differ."""
    path = workspace.data_file(record.contributor_key, record.sha256)
    data = path.read_bytes() if path.is_file() else b""
    if sha256_of(data) != record.sha256:
        raise DatasetAlteredError(
            f"{path} is not the dataset that lineage recorded.",
            remedy="restore it with `dvc checkout data`, or by `sift contributors add` with the "
            "contributor's rows.",
        )
    train, test = stored_rows(data)
    return Dataset("", record.contributor_key, train, test, record.task)


def _require_once(files: Sequence[Path]) -> None:
    # The same rows twice would weigh twice, which nobody means.
    paths = [path.resolve() for path in files]
    for index, path in enumerate(paths):
        if path in paths[:index]:
            raise UsageError(
                f"{files[index]} is given twice.", remedy="name every file once; nothing was added."
            )


def _checked(where: str, fields: Any, kinds: Sequence[Kind], labels: Sequence[str]) -> Row:
    try:
        row = parse_row(fields, kinds)
    except ValueError as error:
        raise UsageError(
            f"{where}: {error}.",
            remedy="mend this line; nothing was added. What a workspace learns from is settled by "
            "base.labels in its params.yaml.",
        ) from None
    if isinstance(row, LabelledRow) and row.label not in labels:
        raise UsageError(
            f"{where}: label {row.label[:40]!a} is not one of {', '.join(labels)}.",
            remedy="correct the label, or list it under base.labels of a new workspace.",
        )
    return row


def _key(workspace: Workspace, where: str, external_id: str) -> str:
    try:
        return workspace.key_of(external_id)
    except UsageError as error:
        raise UsageError(f"{where}: {error.facts}", remedy=error.remedy) from None


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


def _status(
    workspace: Workspace, dataset: Dataset, current: dict[str, str], replace: bool
) -> Status:
    stored = current.get(dataset.key)
    if stored is None:
        return "added"
    data = dataset.to_bytes(workspace.digests)
    if stored == sha256_of(data):
        path = workspace.data_file(dataset.key, stored)
        return "unchanged" if path.is_file() and path.read_bytes() == data else "restored"
    if not replace:
        raise UsageError(
            f"Contributor {dataset.external_id!r} is already here with other rows.",
            remedy="replace their rows with `sift contributors add --replace FILE`.",
        )
    return "replaced"


def _store(
    workspace: Workspace,
    plan: list[tuple[Dataset, Status]],
    current: dict[str, str],
    consents: Sequence[tuple[str, str, str]],
    distinctions: Sequence[tuple[str, str, str]],
) -> None:
    """Write all files beside, record them in one transaction, then give them their names.

    `consents` are (contributor key, who records it, reference) of those who come back,
    `distinctions` (contributor key, key of whom they look like, who says that they are two).

    A full disk stops this before anything has changed. Where a process is killed after the
    transaction, the same command again restores the recorded files. What is replaced stays beside
    the new rows: the current merge was made from it, until a build has made another.
    """
    now = datetime.now(UTC)
    with workspace.scratch("data") as scratch:
        for dataset, _ in plan:
            write_atomically(scratch / dataset.key, dataset.to_bytes(workspace.digests))
        with workspace.lineage.writer() as recorder:
            for key, by, reference in consents:
                recorder.consent(key, by, reference, now)
            recorder.add_all(
                Distinction(contributor_key=key, other_key=other, said_by=by, said_at=now)
                for key, other, by in distinctions
            )
            for dataset, status in plan:
                if status != "restored":
                    record_dataset(recorder, dataset, workspace.digests, current.get(dataset.key))
        for dataset, _ in plan:
            data = dataset.to_bytes(workspace.digests)
            target = workspace.data_file(dataset.key, sha256_of(data))
            (scratch / dataset.key).replace(target)


def record_dataset(
    recorder: Recorder, dataset: Dataset, digests: DigestKey, supersedes: str | None
) -> None:
    """Record a contributor's current dataset, in place of the one with SHA-256 `supersedes`."""
    data, now = dataset.to_bytes(digests), datetime.now(UTC)
    sha256, records = sha256_of(data), tuple(dataset.records(digests))
    if supersedes is None:
        recorder.add(
            Contributor(contributor_key=dataset.key, external_id=dataset.external_id, added_at=now)
        )
    else:
        recorder.supersede_dataset(dataset.key, supersedes, now)
    recorder.add(DatasetRecords(contributor_key=dataset.key, sha256=sha256, records=records))
    recorder.add(
        DatasetVersion(
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
