"""What there is to record of one finetuning, wherever it ran."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sift_bytes
from lineage import (
    DatasetVersionRecord,
    EnvironmentRecord,
    FinetuningRecord,
    LinearDigestRecord,
    TaskVectorRecord,
)
from lineage.records import Row
from sift_bytes import md5_of


@dataclass(frozen=True)
class StoredFile:
    """A file by its digests and size in bytes."""

    sha256: str
    md5: str
    size: int

    @classmethod
    def of(cls, data: bytes) -> "StoredFile":
        """The file with this content."""
        return cls(sift_bytes.sha256_of(data), md5_of(data), len(data))


@dataclass(frozen=True)
class Outcome:
    """What there is to record of one finetuning whose files are written."""

    vector: StoredFile
    mask: StoredFile
    entries: int
    nonzero: int
    digest: tuple[int, ...]
    first_loss: float
    last_loss: float
    started_at: datetime
    finished_at: datetime


def rows_of(
    *,
    run_id: str,
    dataset: DatasetVersionRecord,
    base_id: str,
    parameters: dict[str, Any],
    where: EnvironmentRecord,
    outcome: Outcome,
    flow_run_id: str | None,
) -> list[Row]:
    """The rows of the lineage store for one finetuning; `parameters` are all it depended on."""
    run = FinetuningRecord(
        run_id=run_id,
        contributor_key=dataset.contributor_key,
        dataset_sha256=dataset.sha256,
        base_id=base_id,
        environment_id=where.environment_id,
        parameters=parameters,
        seed=parameters["seed"],
        steps=parameters["steps"],
        first_loss=outcome.first_loss,
        last_loss=outcome.last_loss,
        started_at=outcome.started_at,
        finished_at=outcome.finished_at,
        flow_run_id=flow_run_id,
    )
    stored = TaskVectorRecord(
        run_id=run_id,
        contributor_key=dataset.contributor_key,
        vector_sha256=outcome.vector.sha256,
        mask_sha256=outcome.mask.sha256,
        vector_md5=outcome.vector.md5,
        mask_md5=outcome.mask.md5,
        vector_bytes=outcome.vector.size,
        mask_bytes=outcome.mask.size,
        entries=outcome.entries,
        nonzero=outcome.nonzero,
        created_at=outcome.finished_at,
    )
    digest = [
        LinearDigestRecord(subject=outcome.vector.sha256, lane=lane, value=value)
        for lane, value in enumerate(outcome.digest)
    ]
    return [run, stored, *digest]
