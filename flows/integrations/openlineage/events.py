"""OpenLineage: events of runs, datasets and models, by the official client.

Every event goes into `.sift/openlineage.jsonl`, one a line, and to an endpoint too where
`params.yaml` or the client's own variables (`OPENLINEAGE_URL`, `OPENLINEAGE_CONFIG`) name one. An
endpoint that cannot be reached stops nothing and is waited for once: `openlineage_sending`.

Events name a contributor by key and content by digest, as git does: no id, no path, no text of an
error, nothing of the machine.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal

import attr
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    DatasetFacet,
    RunFacet,
    dataset_type_dataset,
    dataset_version_dataset,
    error_message_run,
    job_type_job,
    lifecycle_state_change_dataset,
    parent_run,
    processing_engine_run,
)
from openlineage.client.transport.file import FileConfig, FileTransport
from openlineage.client.uuid import generate_new_uuid

from flows.integrations.openlineage.delivery import Sender

FILE = Path(".sift") / "openlineage.jsonl"
PRODUCER = f"urn:sift-masks:{version('sift-masks')}"
SCHEMAS = "urn:sift-masks:schema:"

_ENDPOINT = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG")


@attr.define
class ArtifactDatasetFacet(DatasetFacet):
    """Whose artifact, and its digest: docs/schemas/openlineage-artifact-1.schema.json."""

    kind: str
    sha256: str
    contributorKey: str | None = attr.field(default=None)  # noqa: N815  OpenLineage's style

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMAS}openlineage-artifact-1"


@attr.define
class RequestsRunFacet(RunFacet):
    """The opt-out requests a run works for. docs/schemas/openlineage-requests-1.schema.json."""

    requests: list[str]

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMAS}openlineage-requests-1"


Kind = Literal["base model", "dataset", "vector", "mask", "merge state", "model version"]


@dataclass(frozen=True)
class Artifact:
    """Something that a run read, made or destroyed; `name` is unique in the workspace."""

    kind: Kind
    name: str
    sha256: str
    contributor_key: str | None = None


@dataclass
class Observed:
    """What a run read, made and destroyed, to be told when it has ended."""

    inputs: Sequence[Artifact] = ()
    made: Sequence[Artifact] = ()
    destroyed: Sequence[Artifact] = ()
    run_id: str = ""
    """The run's name in OpenLineage's events, and in our log."""


class OpenLineage:
    """Emits the events of one workspace; `transport` is an endpoint in the client's own words."""

    _around: ClassVar[ContextVar[tuple[str, str] | None]] = ContextVar("around", default=None)

    def __init__(self, root: Path, model: str, transport: dict[str, Any]) -> None:
        self.namespace = f"sift/{model}"
        self.file = root / FILE
        self._file = OpenLineageClient(transport=_to_file(self.file))
        self._sender: Sender | None = None
        if transport:
            endpoint = OpenLineageClient(config={"transport": transport})
            self._sender = Sender(self.file, endpoint.transport)
        elif any(name in os.environ for name in _ENDPOINT):
            self._sender = Sender(self.file, OpenLineageClient().transport)

    @contextmanager
    def run(self, job: str, requests: Sequence[str] = ()) -> Iterator[Observed]:
        """Tell of a run around the block: START, then COMPLETE or FAIL with what it observed.

        A run within a run names it as its parent.
        """
        run_id = str(generate_new_uuid())
        parent = self._around.get()
        facets = _run_facets(self.namespace, parent, requests)
        observed = Observed(run_id=run_id)
        self._emit(RunState.START, run_id, job, facets, Observed())
        token = self._around.set((run_id, job))
        try:
            yield observed
        except BaseException as error:
            # Its kind alone: a message may name a contributor.
            message = error_message_run.ErrorMessageRunFacet(type(error).__name__, "python")
            self._emit(RunState.FAIL, run_id, job, facets | {"errorMessage": message}, observed)
            raise
        finally:
            self._around.reset(token)
        self._emit(RunState.COMPLETE, run_id, job, facets, observed)

    def _emit(
        self, state: RunState, run_id: str, job: str, facets: dict[str, RunFacet], seen: Observed
    ) -> None:
        drop = lifecycle_state_change_dataset.LifecycleStateChange.DROP
        create = lifecycle_state_change_dataset.LifecycleStateChange.CREATE
        event = RunEvent(
            eventTime=datetime.now(UTC).isoformat(),
            producer=PRODUCER,
            eventType=state,
            run=Run(run_id, facets=facets),
            job=Job(self.namespace, job, facets={"jobType": _JOB_TYPE}),
            inputs=[self._input(one) for one in seen.inputs],
            outputs=[
                *(self._output(one, create) for one in seen.made),
                *(self._output(one, drop) for one in seen.destroyed),
            ],
        )
        if self._sender is not None:
            self._sender.begin()
        self._write(event)
        if self._sender is not None:
            self._sender.send()

    def _write(self, event: RunEvent) -> None:
        _end_the_line(self.file)
        try:
            self._file.emit(event)
        except RuntimeError as error:  # what the client makes of a full disk, say
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            raise

    def _input(self, one: Artifact) -> InputDataset:
        return InputDataset(self.namespace, one.name, facets=_facets(one))

    def _output(
        self, one: Artifact, change: lifecycle_state_change_dataset.LifecycleStateChange
    ) -> OutputDataset:
        lifecycle = lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet(change)
        facets = _facets(one) | {"lifecycleStateChange": lifecycle}
        return OutputDataset(self.namespace, one.name, facets=facets)


_JOB_TYPE = job_type_job.JobTypeJobFacet(
    processingType="BATCH", integration="SIFT", jobType="TASK", producer=PRODUCER
)


def _run_facets(
    namespace: str, parent: tuple[str, str] | None, requests: Sequence[str]
) -> dict[str, RunFacet]:
    facets: dict[str, RunFacet] = {
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            version=version("sift-masks"), name="sift-masks", producer=PRODUCER
        )
    }
    if parent is not None:
        run_id, job = parent
        facets["parent"] = parent_run.ParentRunFacet(
            run=parent_run.Run(run_id), job=parent_run.Job(namespace, job), producer=PRODUCER
        )
    if requests:
        facets["sift_requests"] = RequestsRunFacet(list(requests), producer=PRODUCER)
    return facets


def _facets(one: Artifact) -> dict[str, DatasetFacet]:
    models = ("base model", "model version")
    return {
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(
            "MODEL" if one.kind in models else "FILE", producer=PRODUCER
        ),
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(
            one.sha256, producer=PRODUCER
        ),
        "sift_artifact": ArtifactDatasetFacet(
            one.kind, one.sha256, one.contributor_key, producer=PRODUCER
        ),
    }


def _to_file(path: Path) -> FileTransport:
    return FileTransport(FileConfig(log_file_path=str(path), append=True))


def _end_the_line(path: Path) -> None:
    """End a line that a killed process left half written, so that it spoils no other."""
    if path.is_file() and path.stat().st_size:
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
