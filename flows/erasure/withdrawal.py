"""Withdrawing some records of a contributor: what may be named, and what is left.

The contributor stays. Their remaining rows become a new dataset, split as if the others had never
come; a contributor whose withdrawn records are in the merge is finetuned once more, alone.
"""

import re
from collections.abc import Collection
from pathlib import Path

from flows.data.datasets import Dataset, load_dataset, record_dataset, split_rows
from flows.data.rows import record_json
from flows.errors import UsageError
from flows.training.finetune import finetune_jobs, jobs, pending
from flows.training.retention import lost, restore
from flows.workspace.recorded_files import require_dataset
from flows.workspace.workspace import Workspace
from lineage import DatasetVersionRecord, TaskVectorRecord
from sift_bytes import sha256_of, write_atomically

_HASH = re.compile(r"[0-9a-f]{64}")
_WHOLE = "withdraw fewer, or all of the contributor: file the request without --records."


def read_hashes(path: Path) -> list[str]:
    """The record hashes in a text file, one a line, in order; blank lines are skipped.

    Raises UsageError, with the line, for anything that is not a hash or is there twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read as text: {error}.",
            remedy="name a UTF-8 text file with one record hash a line.",
        ) from error
    found: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip().lower()
        if not text:
            continue
        if not _HASH.fullmatch(text):
            raise UsageError(
                f"{path.name} line {number} is not a record hash: 64 hexadecimal digits.",
                remedy="`sift contributors records ID` prints them; nothing was filed.",
            )
        if text in found:
            raise UsageError(
                f"{path.name} line {number} repeats line {found[text]}.",
                remedy="name every record once: all rows with that content go. Nothing was filed.",
            )
        found[text] = number
    if not found:
        raise UsageError(
            f"{path.name} names no record.",
            remedy="write one record hash a line; `sift contributors records ID` prints them.",
        )
    return list(found)


def require_withdrawable(
    workspace: Workspace, key: str, name: str, records: Collection[str]
) -> None:
    """Raise UsageError unless the contributor has all these records, and enough would be left."""
    with workspace.lineage.reader() as reader:
        live = reader.live_records(key)
        earlier = [row for row in reader.requests() if row.contributor_key == key]
    for record in records:
        if record in live:
            continue
        for request in earlier:
            if record in (request.records or ()):
                raise UsageError(
                    f"Record {record} of contributor {name!r} was withdrawn already: "
                    f"{request.request_id}.",
                    remedy=f"leave it out; see `sift opt-out status {request.request_id}`.",
                )
        raise UsageError(
            f"Contributor {name!r} has no record {record}.",
            remedy=f'`sift contributors records "{name}"` prints the hashes; nothing was filed.',
        )
    holding = _holding(workspace, key, records)
    if holding is not None:
        _without(workspace, holding, name, records)


def replace_dataset(workspace: Workspace, key: str, records: Collection[str]) -> None:
    """Make the current dataset one without these records; safe to repeat.

    The old file stays for the purge. The new one is written before it is recorded, so a process
    that is killed leaves nothing recorded without its bytes.
    """
    holding = _holding(workspace, key, records)
    if holding is None:
        return
    require_dataset(workspace, holding)
    left = _without(workspace, holding, key, records)
    data = left.to_bytes(workspace.digests)
    write_atomically(workspace.data_file(key, sha256_of(data)), data)
    with workspace.lineage.writer() as recorder:
        record_dataset(recorder, left, workspace.digests, holding.sha256)


def finetune_again(workspace: Workspace, key: str) -> TaskVectorRecord:
    """The vector of a contributor's current dataset, finetuned unless it is there already."""
    work = [job for job in jobs(workspace) if job.dataset.contributor_key == key]
    finetune_jobs(workspace, pending(workspace, work))
    restore(workspace, lost(workspace, work))
    with workspace.lineage.reader() as reader:
        return reader.task_vector(work[0].run_id)


def _holding(
    workspace: Workspace, key: str, records: Collection[str]
) -> DatasetVersionRecord | None:
    """The contributor's current dataset, where it holds any of these records."""
    with workspace.lineage.reader() as reader:
        touched = {row.sha256 for row in reader.impact(key, records).datasets}
        current = [row for row in reader.current_datasets() if row.contributor_key == key]
    return next((row for row in current if row.sha256 in touched), None)


def _without(
    workspace: Workspace, record: DatasetVersionRecord, name: str, records: Collection[str]
) -> Dataset:
    """What is left of a dataset. Raises UsageError where that is too little to be one."""
    settings, digests = workspace.settings.data, workspace.digests
    rows = load_dataset(workspace, record).rows
    key = record.contributor_key
    left = [row for row in rows if digests.record(key, record_json(row)) not in records]
    if not left:
        raise UsageError(f"These are all records of contributor {name!r}.", remedy=_WHOLE)
    if len(left) < settings.min_rows:
        raise UsageError(
            f"Contributor {name!r} would have {len(left)} row{'s'[: len(left) - 1]} left, fewer "
            f"than {settings.min_rows}: some train, some are held out.",
            remedy=_WHOLE,
        )
    try:
        return split_rows(name, key, left, settings.held_out)
    except UsageError as error:
        raise UsageError(f"Of what would be left: {error.facts}", remedy=_WHOLE) from None
