"""The `build` flow: contributors' data in, a registered model out.

    base model → ingest → finetune (in shards) → merge → verify → evaluate → register → commit

Every step is one function that can be called without Prefect, and knows from the stores whether
it is done; so a killed build is simply run again.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from flows.data.datasets import load_dataset
from flows.erasure.catch_up import catch_up
from flows.models.checks import Verification
from flows.models.evaluate import evaluate_state
from flows.models.merge import merge_members
from flows.models.metrics import write_metrics
from flows.models.record import commit
from flows.models.register import promote, register, require_same_name
from flows.models.superseded import sweep_superseded
from flows.models.verify import Way, verify_state
from flows.opt_out import carry_out
from flows.progress import tracked
from flows.training.base_model import ensure_base
from flows.training.finetune import Job, finetune_jobs, jobs, pending
from flows.training.retention import apply_storage, forget_vectors, lost, restore, settle_vectors
from flows.ui.artifacts import (
    show_contributors,
    show_exactness,
    show_quality,
    show_summary,
    showing_progress,
    version_line,
)
from flows.ui.forms import WAYS, BuildForm
from flows.ui.run_events import observed
from flows.ui.tasks import run_id, sift_flow, sift_task
from flows.workspace.here import here
from flows.workspace.run_status import noted
from flows.workspace.workspace import Workspace
from lineage import EvaluationRecord, MergeStateRecord, ModelVersionRecord


@dataclass
class BuildResult:
    """What a build made, or found made."""

    model: str
    version: int
    state_seq: int
    state_sha256: str
    contributors: int
    finetuned: int
    metrics: dict[str, float]
    commit: str
    seconds: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@sift_flow("build", "build")
def build(form: BuildForm = BuildForm()) -> BuildResult:  # noqa: B008  Prefect reads it from here
    """Build the model from its contributors; do again only what has changed."""
    workspace = here()
    with workspace.lock():
        catch_up(workspace, carry_out)  # who has left, and a restored backup has brought back
        with noted(workspace, "build"), observed(workspace, "build"):
            return _build(workspace, WAYS[form.exactness])


def _build(workspace: Workspace, way: Way) -> BuildResult:
    seconds: dict[str, float] = {}
    with _phase(workspace, seconds, "base model"):
        prepare_base_model(workspace)
    with _phase(workspace, seconds, "ingest"):
        work = check_datasets(workspace)
    with _phase(workspace, seconds, "finetune"):
        finetuned = _finetune(workspace, work)
    with _phase(workspace, seconds, "merge"):
        state = merge(workspace, work)
        verification = check_exactness(workspace, way)
        keep_what_is_kept(workspace)
    with _phase(workspace, seconds, "evaluate"):
        rows, metrics = score(workspace, state)
    with _phase(workspace, seconds, "register"):
        version = register_version(workspace, state, metrics)
    with _phase(workspace, seconds, "commit"):
        head = commit_workspace(workspace, f"Build version {version.version}: {len(work)} members")
    result = BuildResult(
        model=version.name,
        version=version.version,
        state_seq=state.state_seq,
        state_sha256=state.state_sha256,
        contributors=len(work),
        finetuned=finetuned,
        metrics=metrics,
        commit=head,
        seconds=seconds,
    )
    _publish(workspace, result, rows, verification)
    return result


def _finetune(workspace: Workspace, work: Sequence[Job]) -> int:
    settle_vectors(workspace)
    todo, gone = pending(workspace, work), lost(workspace, work)
    size, pool = workspace.settings.build.shard_size, workspace.settings.build.pool
    if pool is not None:
        with observed(workspace, "build.finetune.pool"):
            finetune_on_pool(workspace, todo, pool)
    else:
        for start in range(0, len(todo), size):
            with observed(workspace, "build.finetune.shard"):
                finetune_shard(workspace, todo[start : start + size], start, len(todo))
    if gone:
        restore_vectors(workspace, gone)
    return len(todo) + len(gone)


@sift_task("base model", retries=2)
def prepare_base_model(workspace: Workspace) -> None:
    """Make the base model unless it is there."""
    ensure_base(workspace)


@sift_task("ingest")
def check_datasets(workspace: Workspace) -> list[Job]:
    """Check that every current dataset is the bytes that lineage recorded."""
    require_same_name(workspace)
    work = jobs(workspace)
    for job in tracked("Checking datasets", work, len(work)):
        load_dataset(workspace, job.dataset)
    return work


@sift_task("finetune", tags=["finetune"], retries=2, run_name="finetune {start} of {total}")
def finetune_shard(workspace: Workspace, shard: Sequence[Job], start: int, total: int) -> None:
    """Finetune a shard of contributors, each alone; done ones are not done again on a retry."""
    with showing_progress("finetune-progress", f"{total} contributors to finetune", start, total):
        finetune_jobs(workspace, pending(workspace, shard), run_id())


@sift_task("finetune on pool", tags=["finetune"], retries=2, run_name="finetune on {pool}")
def finetune_on_pool(workspace: Workspace, work: Sequence[Job], pool: str) -> None:
    """Have the workers of a work pool finetune; done contributors are not done again on a retry."""
    from flows.training.workers.assignments import finetune_elsewhere  # and with it Prefect, torch
    from flows.training.workers.pool import PrefectPool

    todo = pending(workspace, work)
    build_run = run_id()
    done, all_ = len(work) - len(todo), len(work)
    with showing_progress("finetune-progress", f"{all_} contributors to finetune", done, all_):
        finetune_elsewhere(workspace, todo, PrefectPool(pool, build_run), build_run)


@sift_task("restore", tags=["finetune"], retries=2)
def restore_vectors(workspace: Workspace, gone: Sequence[Job]) -> None:
    """Run recorded finetunings again whose files are gone; the bits must be the recorded ones."""
    restore(workspace, lost(workspace, gone))


@sift_task("merge")
def merge(workspace: Workspace, work: Sequence[Job]) -> MergeStateRecord:
    """Sum the members' task vectors and make the sum current."""
    return merge_members(workspace, work)


@sift_task("verify", tags=["exactness"])
def check_exactness(workspace: Workspace, way: Way) -> Verification:
    """Verify the merge before anything is registered. Raises ExactnessError."""
    verification = verify_state(workspace, way)
    verification.require()
    return verification


@sift_task("storage")
def keep_what_is_kept(workspace: Workspace) -> None:
    """Delete what the verified merge has taken in, where the workspace keeps only masks."""
    apply_storage(workspace)


@sift_task("evaluate")
def score(
    workspace: Workspace, state: MergeStateRecord
) -> tuple[list[EvaluationRecord], dict[str, float]]:
    """Score base, merged and masked weights for those members who are drawn."""
    evaluated = evaluate_state(workspace, state)
    with workspace.lineage.reader() as reader:
        members = {member.contributor_key for member in reader.members(state.state_seq)}
    rows = [row for row in evaluated if row.contributor_key in members]  # none who have left since
    return rows, write_metrics(workspace, state)


@sift_task("register", tags=["mlflow"], retries=2)
def register_version(
    workspace: Workspace, state: MergeStateRecord, metrics: dict[str, float]
) -> ModelVersionRecord:
    """Register the verified state in MLflow and make it the champion."""
    version = register(workspace, state, metrics)
    promote(workspace, version)
    return version


@sift_task("commit", tags=["dvc"], retries=2)
def commit_workspace(workspace: Workspace, message: str) -> str:
    """Record the workspace in DVC and git, without what was superseded; push it to the remote."""
    sweep_superseded(workspace)
    head = commit(workspace, message)
    forget_vectors(workspace)
    return head


def _publish(
    workspace: Workspace,
    result: BuildResult,
    rows: list[EvaluationRecord],
    verification: Verification,
) -> None:
    show_contributors(rows, f"Quality by contributor, state {result.state_seq}")
    show_exactness(verification)
    show_quality(rows, result.contributors)
    show_summary(
        "build-summary",
        [
            f"# {result.model} version {result.version}",
            f"{result.contributors} contributors, {result.finetuned} finetuned in this run.",
            f"Merge state `{result.state_sha256}` (number {result.state_seq}), "
            f"commit `{result.commit}`.",
            "",
            version_line(workspace, result.model, result.version),
            "",
            "| metric | value |",
            "| --- | --- |",
            *(f"| {name} | {value:.4f} |" for name, value in result.metrics.items()),
        ],
        "What this build made",
    )


@contextmanager
def _phase(workspace: Workspace, seconds: dict[str, float], phase: str) -> Iterator[None]:
    started = time.monotonic()
    with observed(workspace, f"build.{phase.replace(' ', '_')}"):
        yield
    seconds[phase] = round(time.monotonic() - started, 2)
