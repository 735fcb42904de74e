"""One sign-fixed finetuning per contributor: what is still to do, and doing it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import sift_bytes
import sift_core
from flows.data.datasets import load_dataset
from flows.data.rows import to_example
from flows.errors import UsageError
from flows.progress import tracked
from flows.training.base_model import base_id, base_record, load_base
from flows.training.environment import environment
from flows.training.finetuned import Outcome, StoredFile, rows_of
from flows.training.method import method_settings, reading
from flows.workspace.recording import Recording
from flows.workspace.settings import MethodSettings, Settings
from flows.workspace.workspace import Workspace
from lineage import DatasetVersionRecord, EnvironmentRecord, FinetuningRecord
from lineage.records import Row
from sift_core import Grid, SignVector
from sift_core.collector import frozen
from sift_core.errors import DataError, NonFiniteError

UNSAID = {
    "precision": "float32",
    "gradient_checkpointing": False,
    "processes": 1,
    "adapter": None,
}
"""What holds where a run's parameters do not say it."""


@dataclass(frozen=True)
class Job:
    """One finetuning: a dataset, and the run that its inputs name."""

    dataset: DatasetVersionRecord
    run_id: str


def jobs(workspace: Workspace) -> list[Job]:
    """The run of every contributor who belongs in the merge, in order of contributor key.

    Whoever an opt-out has removed already does not come back, even while their rows still wait
    to be destroyed.
    """
    require_same_exactness(workspace)
    base = base_id(workspace)
    with workspace.lineage.reader() as reader:
        datasets = reader.current_datasets()
        removed = reader.removed_contributors()
    return [
        Job(dataset, _run_id(dataset, base, workspace.settings))
        for dataset in sorted(datasets, key=lambda dataset: dataset.contributor_key)
        if dataset.contributor_key not in removed
    ]


def require_same_exactness(workspace: Workspace) -> None:
    """Raise UsageError where params.yaml has another grid or seed than the merge was made with."""
    with workspace.lineage.reader() as reader:
        state = reader.current_state()
        members = reader.members(state.state_seq) if state else []
        made_with = reader.run(members[0].run_id).parameters if members else {}
    for name, value in workspace.settings.exactness.model_dump().items():
        if name in made_with and made_with[name] != value:
            raise UsageError(
                f"exactness.{name} is {value}, the merge was made with {made_with[name]}.",
                remedy=f"set exactness.{name} back to {made_with[name]}; it is fixed before the "
                "first finetuning, and another one needs a new workspace.",
            )


def require_same_settings(workspace: Workspace, run: FinetuningRecord) -> None:
    """Raise UsageError where params.yaml has other settings than this run was made with."""
    names = sorted(differing(run.parameters, workspace.settings))
    if names:
        raise UsageError(
            f"params.yaml has another {', '.join(names)} than the merge was made with.",
            remedy="set it back, or run `sift build` first so that the whole merge has it.",
        )


def pending(workspace: Workspace, among: Sequence[Job] | None = None) -> list[Job]:
    """The jobs that no recorded finetuning has done. Looks `among` these, or at all.

    Recorded ones whose files are gone are `flows.training.retention.lost`: they must come back to
    the bit.
    """
    with workspace.lineage.reader() as reader:
        done = {vector.run_id for vector in reader.task_vectors()}
    work = jobs(workspace) if among is None else among
    return [job for job in work if job.run_id not in done]


def finetune_jobs(
    workspace: Workspace, work: Sequence[Job], flow_run_id: str | None = None
) -> None:
    """Finetune contributors one after another; the base model is loaded once.

    Each contributor is recorded soon after their files are written, so an interrupted shard goes
    on where it stopped. Raises the errors of `sift_core.finetune`; others stay recorded.
    """
    if not work:
        return
    base = load_base(workspace)
    here = environment(workspace.settings)
    with frozen(), Recording(workspace.lineage) as recording:
        recording.add([base_record(workspace, base), here])
        for job in tracked("Finetuning", work, len(work)):
            recording.add(_finetune(workspace, base, job, here, flow_run_id))


def finetune_alone(
    workspace: Workspace, base: sift_core.BaseModel, dataset: DatasetVersionRecord
) -> sift_core.Finetuned:
    """Finetune on one contributor's rows; nothing is written.

    Whoever calls this with the same base, rows and settings on the same machine gets the same bits.
    Raises DatasetAlteredError and the errors of `sift_core.finetune`.
    """
    rows = load_dataset(workspace, dataset).train
    try:
        return finetune_rows(workspace.settings.method, base, rows)
    except (DataError, NonFiniteError) as error:
        raise type(error)(
            f"Contributor {dataset.contributor_key}: {error.facts}", remedy=error.remedy
        ) from error


def finetune_rows(
    method: MethodSettings, base: sift_core.BaseModel, rows: Sequence[dict[str, Any]]
) -> sift_core.Finetuned:
    """Finetune on stored training rows: what this process and a worker elsewhere both do.

    Raises the errors of `sift_core.encode_examples` and `sift_core.finetune`.
    """
    examples = sift_core.encode_examples(
        [to_example(row) for row in rows], base.tokenizer, base.labels, reading(method)
    )
    return sift_core.finetune(
        base,
        examples,
        SignVector(method.exactness.sign_seed),
        Grid(method.exactness.grid_bits),
        method_settings(method.finetune),
    )


def _finetune(
    workspace: Workspace,
    base: sift_core.BaseModel,
    job: Job,
    here: EnvironmentRecord,
    flow_run_id: str | None,
) -> list[Row]:
    """Finetune one contributor and write their files; what there is to record of it."""
    key, started = job.dataset.contributor_key, datetime.now(UTC)
    result = finetune_alone(workspace, base, job.dataset)
    vector, seed = result.vector, workspace.settings.exactness.digest_seed
    vector_bytes, mask_bytes = vector.to_bytes(), vector.mask.to_bytes()
    lanes = vector.linear_digest(seed)
    stored, mask = StoredFile.of(vector_bytes), StoredFile.of(mask_bytes)
    sift_bytes.write_atomically(workspace.mask_file(key, mask.sha256), mask_bytes)
    sift_bytes.write_atomically(workspace.vector_file(key, stored.sha256), vector_bytes)
    outcome = Outcome(
        vector=stored,
        mask=mask,
        entries=vector.mask.entries,
        nonzero=vector.mask.nonzero,
        digest=lanes,
        first_loss=result.losses[0],
        last_loss=result.losses[-1],
        started_at=started,
        finished_at=datetime.now(UTC),
    )
    return rows_of(
        run_id=job.run_id,
        dataset=job.dataset,
        base_id=base.base_id,
        parameters=parameters(workspace.settings),
        where=here,
        outcome=outcome,
        flow_run_id=flow_run_id,
    )


def parameters(settings: Settings) -> dict[str, Any]:
    """All that a task vector depends on, beside the base model and the contributor's rows.

    What there was no choice of at first is left out where it is as it was then: a finetuning of
    that time keeps its run.
    """
    every = {
        **asdict(method_settings(settings.finetune)),
        "train_only": list(settings.finetune.train_only),
        "adapter": settings.finetune.adapter and settings.finetune.adapter.model_dump(mode="json"),
        "threads": settings.finetune.threads,
        "device": settings.finetune.device,
        "max_length": settings.base.max_length,
        "too_long": settings.data.too_long,
        "train_on_turns": settings.data.train_on_turns,
        "grid_bits": settings.exactness.grid_bits,
        "sign_seed": settings.exactness.sign_seed,
        "digest_seed": settings.exactness.digest_seed,
    }
    return {name: value for name, value in every.items() if UNSAID.get(name) != value}


def differing(recorded: Mapping[str, Any], settings: Settings) -> dict[str, tuple[Any, Any]]:
    """Which parameters of a run are not those of `params.yaml`: name → (recorded, now)."""
    now = parameters(settings)
    values = {
        name: tuple(source.get(name, UNSAID.get(name)) for source in (recorded, now))
        for name in {**now, **recorded}
    }
    return {name: (was, is_) for name, (was, is_) in values.items() if was != is_}


def _run_id(dataset: DatasetVersionRecord, base_id: str, settings: Settings) -> str:
    inputs = {
        "contributor": dataset.contributor_key,
        "dataset": dataset.sha256,
        "base": base_id,
        "parameters": parameters(settings),
    }
    return sift_bytes.sha256_of(json.dumps(inputs, sort_keys=True).encode())
