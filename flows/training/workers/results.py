"""One contributor's result from a worker: checked, kept and recorded, or quarantined and named."""

import hashlib
import os
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

import sift_bytes
from flows.integrations.staging.staging import Staging
from flows.training.finetune import Job, finetune_alone, parameters
from flows.training.finetuned import Outcome, StoredFile, rows_of
from flows.training.workers.checks import Expected, fetch_objects, inspect, read_manifest, refused
from flows.training.workers.errors import (
    ContradictionError,
    OtherBitsError,
    QuarantinedError,
    SpotCheckError,
)
from flows.training.workers.messages import Failed, Finished, Task
from flows.training.workers.quarantine import quarantine
from flows.workspace.recording import Recording
from flows.workspace.workspace import Workspace
from lineage import EnvironmentRecord
from sift_core import BaseModel, InspectedVector, StoredVector


class Receiver:
    """Takes in what workers give back. `checked_here` are the jobs that are run again here."""

    def __init__(
        self,
        workspace: Workspace,
        staging: Staging,
        expected: Expected,
        base: BaseModel,
        recording: Recording,
        checked_here: Collection[Job],
        flow_run_id: str | None,
    ) -> None:
        self._workspace = workspace
        self._staging = staging
        self._expected = expected
        self._base = base
        self._recording = recording
        self._checked_here = {job.run_id for job in checked_here}
        self._flow_run_id = flow_run_id
        self._accepted: dict[str, tuple[str, str]] = {}
        self._contradicted: list[str] = []

    def receive(
        self, job: Job, assignment: str, run: str, data: bytes, since: datetime
    ) -> str | None:
        """Take in one manifest and what it names. None; or why it does not count, in few words.

        `since` is when its worker can have begun with it. What does not count is in quarantine
        afterwards.
        """
        key = job.dataset.contributor_key
        with self._workspace.scratch("workers") as scratch:
            (scratch / "manifest").write_bytes(data)
            try:
                manifest = read_manifest(data, task_of(job), self._expected)
                if isinstance(manifest, Failed):
                    return f"{manifest.error} by its worker"
                files = fetch_objects(
                    self._staging, f"{assignment}/out", manifest, self._expected, scratch
                )
                found = inspect(files, manifest, self._expected)
                self._check_here(job, manifest)
            except QuarantinedError as error:
                quarantine(
                    self._workspace,
                    key,
                    {name: scratch / name for name in ("manifest", "vector", "mask")},
                    error,
                    run,
                )
                return type(error).__name__
            self._keep(job, manifest, files, found, since)
        return None

    def compare(self, job: Job, assignment: str, run: str, data: bytes) -> None:
        """Look again at a manifest whose result counts: Prefect may have run it twice.

        The same bits again are nothing. Other bits are quarantined; in one environment they are a
        contradiction, which `require_consistent` raises. Anything else comes too late to matter.
        """
        try:
            manifest = read_manifest(data, task_of(job), self._expected)
        except QuarantinedError:
            return
        vector, environment = self._accepted[job.run_id]
        if isinstance(manifest, Failed) or manifest.vector.sha256 == vector:
            return
        with self._workspace.scratch("workers") as scratch:
            (scratch / "manifest").write_bytes(data)
            why = refused(OtherBitsError, "A second result has other bits than the one recorded.")
            key = job.dataset.contributor_key
            quarantine(self._workspace, key, {"manifest": scratch / "manifest"}, why, run)
        if self._environment_of(manifest).environment_id == environment:
            self._contradicted.append(job.dataset.contributor_key)

    def settle(self) -> None:
        """Record what has waited long enough."""
        self._recording.add([])

    def require_consistent(self) -> None:
        """Raise ContradictionError where one environment gave two results for one finetuning."""
        if self._contradicted:
            raise ContradictionError(
                f"Workers in one environment gave other bits for the same finetuning, of "
                f"contributor {self._contradicted[0]}.",
                remedy="see `sift workers quarantine`; run `sift build` with build.spot_check, and "
                "set another finetune.seed where a vector is to be made anew.",
            )

    def _environment_of(self, manifest: Finished) -> EnvironmentRecord:
        machine = self._expected.machines[manifest.machine]
        return machine.environment(self._workspace.settings.method)

    def _check_here(self, job: Job, manifest: Finished) -> None:
        """Raise SpotCheckError where this job was drawn and gives other bits here."""
        if job.run_id not in self._checked_here:
            return
        vector = finetune_alone(self._workspace, self._base, job.dataset).vector
        if sift_bytes.sha256_of(vector.to_bytes()) != manifest.vector.sha256:
            raise refused(SpotCheckError, "The same finetuning gives other bits here.")

    def _keep(
        self,
        job: Job,
        manifest: Finished,
        files: StoredVector,
        found: InspectedVector,
        since: datetime,
    ) -> None:
        """Give the files their names, and record them."""
        key, now = job.dataset.contributor_key, datetime.now(UTC)
        where = self._environment_of(manifest)
        mask, vector = (
            _stored(files.mask, manifest.mask.sha256),
            _stored(files.vector, manifest.vector.sha256),
        )
        _move(files.mask, self._workspace.mask_file(key, mask.sha256))
        _move(files.vector, self._workspace.vector_file(key, vector.sha256))
        outcome = Outcome(
            vector=vector,
            mask=mask,
            entries=found.entries,
            nonzero=found.nonzero,
            digest=found.digest,
            first_loss=manifest.first_loss,
            last_loss=manifest.last_loss,
            started_at=since,
            finished_at=now,
        )
        rows = rows_of(
            run_id=job.run_id,
            dataset=job.dataset,
            base_id=self._expected.base_id,
            parameters=parameters(self._workspace.settings),
            where=where,
            outcome=outcome,
            flow_run_id=self._flow_run_id,
        )
        self._recording.add([where, *rows])
        self._accepted[job.run_id] = (vector.sha256, where.environment_id)


def task_of(job: Job) -> Task:
    """A job as a worker is told it."""
    return Task(
        contributor_key=job.dataset.contributor_key,
        run_id=job.run_id,
        dataset_sha256=job.dataset.sha256,
        dataset_bytes=job.dataset.bytes,
    )


def _stored(path: Path, sha256: str) -> StoredFile:
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, sift_bytes.md5).hexdigest()
    return StoredFile(sha256, md5, path.stat().st_size)


def _move(path: Path, target: Path) -> None:
    """Flush a file to the disk and give it its name."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.replace(target)
