"""Contributors come in: their files, checked whole, become their current datasets."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from flows.data.datasets import Dataset, record_dataset
from flows.data.ingest import read_datasets
from flows.data.look_alikes import require_two_people
from flows.data.readmission import require_not_withdrawn, returning
from flows.errors import UsageError
from flows.training.readable_rows import require_readable
from flows.workspace.recorded_file import RecordedFile
from flows.workspace.texts import (
    MAX_NAME_LENGTH,
    MAX_REASON_LENGTH,
    login_name,
    require_nameless,
    require_text,
)
from flows.workspace.workspace import Workspace
from lineage import DistinctionRecord
from sift_bytes import md5_of, sha256_of, write_atomically

Status = Literal["added", "replaced", "restored", "unchanged"]


@dataclass(frozen=True)
class Added:
    """What became of one contributor in `add_contributors`.

    `restored`: the rows are the recorded ones, and their damaged file was written again.
    `long_rows`: rows with more than `base.max_length` tokens, which `data.too_long` is about.
    """

    contributor: str
    key: str
    status: Status
    train_rows: int
    test_rows: int
    long_rows: int


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
        long = require_readable(workspace, datasets)
        with workspace.lineage.reader() as reader:
            current = {row.contributor_key: row.sha256 for row in reader.current_datasets()}
            standing = {row.key: reader.process.standing_requests(row.key) for row in datasets}
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
    return [
        Added(d.external_id, d.key, status, len(d.train), len(d.test), long[d.external_id])
        for d, status in plan
    ]


def _status(
    workspace: Workspace, dataset: Dataset, current: dict[str, str], replace: bool
) -> Status:
    stored = current.get(dataset.key)
    if stored is None:
        return "added"
    data = dataset.to_bytes(workspace.digests)
    if stored == sha256_of(data):
        file = RecordedFile(workspace.data_file(dataset.key, stored), stored, md5_of(data))
        return "unchanged" if file.is_whole else "restored"
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
                recorder.process.consent(key, by, reference, now)
            recorder.add_all(
                DistinctionRecord(contributor_key=key, other_key=other, said_by=by, said_at=now)
                for key, other, by in distinctions
            )
            for dataset, status in plan:
                if status != "restored":
                    record_dataset(recorder, dataset, workspace.digests, current.get(dataset.key))
        for dataset, _ in plan:
            data = dataset.to_bytes(workspace.digests)
            target = workspace.data_file(dataset.key, sha256_of(data))
            (scratch / dataset.key).replace(target)
