"""What a piece of work read, made and destroyed, told to OpenLineage; and to the log, that it ran.

Nothing says so twice: the audit log knows which rows the work has changed, and lineage what they
were made from. So a step that is added later is told of without more.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from flows.integrations.openlineage.events import Artifact, Observed
from flows.logging import about, told
from flows.workspace.workspace import Workspace
from lineage import (
    DatasetVersionRecord,
    MergeStateRecord,
    ModelVersionRecord,
    Reader,
    TaskVectorRecord,
)

Made = DatasetVersionRecord | TaskVectorRecord | MergeStateRecord | ModelVersionRecord


@contextmanager
def observed(workspace: Workspace, job: str, requests: Sequence[str] = ()) -> Iterator[None]:
    """Tell OpenLineage and the log of the work within, as a run of `job`; also of a failure."""
    with workspace.lineage.reader() as reader:
        since = reader.audit_head().seq
        keys = [reader.request(name).contributor_key for name in requests]
    with (
        workspace.openlineage.run(job, requests) as run,
        about(run=run.run_id, requests=requests, contributors=keys),
    ):
        try:
            with told(job):
                yield
        finally:
            with workspace.lineage.reader() as reader:
                _fill(run, reader, since)


def _fill(run: Observed, reader: Reader, since: int) -> None:
    """Read from lineage what the entries after `since` speak of."""
    changed = reader.changed_since(since)
    rows: list[Made] = [*changed.datasets, *changed.vectors, *changed.states, *changed.versions]
    made = [row for row in rows if not row.destroyed_at]
    run.inputs = _unique(one for row in made for one in _made_from(reader, row))
    run.made = _unique(one for row in made for one in _artifacts(row))
    run.destroyed = _unique(one for row in rows if row.destroyed_at for one in _artifacts(row))


def _artifacts(row: Made) -> list[Artifact]:
    """The artifacts that a row stands for."""
    match row:
        case DatasetVersionRecord():
            key = row.contributor_key
            return [Artifact("dataset", f"data/{key}/{row.sha256}", row.sha256, key)]
        case TaskVectorRecord():
            key = row.contributor_key
            vector, mask = row.vector_sha256, row.mask_sha256
            return [
                Artifact("vector", f"vectors/{key}/{vector}", vector, key),
                Artifact("mask", f"masks/{key}/{mask}", mask, key),
            ]
        case MergeStateRecord():
            name = f"merge/{row.state_seq}/{row.state_sha256}"
            return [Artifact("merge state", name, row.state_sha256)]
        case ModelVersionRecord():
            return [Artifact("model version", f"models/{row.version}", row.served_sha256)]


def _made_from(reader: Reader, row: Made) -> list[Artifact]:
    """What an artifact was made from: of a merge, the state before and the vectors that changed."""
    match row:
        case TaskVectorRecord():
            run = reader.run(row.run_id)
            key, sha256 = run.contributor_key, run.dataset_sha256
            data = Artifact("dataset", f"data/{key}/{sha256}", sha256, key)
            return [_base(run.base_id), data]
        case MergeStateRecord():
            parent = [reader.state(row.parent_seq)] if row.parent_seq else []
            vectors = reader.vectors_changed_by(row.state_seq, afresh=not parent)
            rows: list[Made] = [*parent, *vectors]
            return [one for made in rows for one in _artifacts(made)]
        case ModelVersionRecord():
            state = reader.state(row.state_seq)
            return [_base(state.base_id), *_artifacts(state)]
        case DatasetVersionRecord():
            return []


def _base(base_id: str) -> Artifact:
    return Artifact("base model", f"base/{base_id}", base_id)


def _unique(artifacts: Iterator[Artifact]) -> list[Artifact]:
    return list(dict.fromkeys(artifacts))
