"""`sift stage`: the stages of dvc.yaml. People use `sift build`; `dvc repro` uses these."""

from pathlib import Path

from flows.cli.app import WorkspaceOption, example, group
from flows.cli.progress import progress
from flows.cli.render import count, quality, say

app = group("The stages of dvc.yaml, as `dvc repro` runs them.")


@app.command(epilog=example("sift stage base"))
def base(folder: WorkspaceOption = Path()) -> None:
    """Make the base model from params.yaml, unless it is there."""
    from flows.training.base_model import ensure_base
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    with workspace.lock(), progress(quiet=False):
        ensure_base(workspace)
    say(f"Base model: {workspace.settings.base.source}")


@app.command(epilog=example("sift stage finetune"))
def finetune(folder: WorkspaceOption = Path()) -> None:
    """Finetune every contributor whose task vector is missing or out of date."""
    from flows.training.finetune import finetune_jobs, pending
    from flows.training.retention import lost, restore, settle_vectors
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    with workspace.lock(), progress(quiet=False):
        settle_vectors(workspace)
        todo, gone = pending(workspace), lost(workspace)
        finetune_jobs(workspace, todo)
        restore(workspace, gone)
    say(f"Finetuned {count(len(todo) + len(gone), 'contributor')}.")


@app.command(epilog=example("sift stage merge"))
def merge(folder: WorkspaceOption = Path()) -> None:
    """Sum the task vectors into the merge state."""
    from flows.models.merge import merge_members
    from flows.models.verify import verify_state
    from flows.training.finetune import jobs
    from flows.training.retention import apply_storage
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    with workspace.lock(), progress(quiet=False):
        state = merge_members(workspace, jobs(workspace))
        if workspace.keeps_masks_only:
            verify_state(workspace).require()  # what the merge has taken in is deleted now
        apply_storage(workspace)
    say(f"Merge state {state.state_seq}: {state.state_sha256}")


@app.command(epilog=example("sift stage evaluate"))
def evaluate(folder: WorkspaceOption = Path()) -> None:
    """Score the merge state; write metrics.json and plots/quality.csv."""
    from flows.models.evaluate import evaluate_state
    from flows.models.metrics import write_metrics
    from flows.workspace.current_state import current_state
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    with workspace.lock(), progress(quiet=False):
        state = current_state(workspace)
        evaluate_state(workspace, state)
        metrics = write_metrics(workspace, state)
    say("  ".join(f"{name} {quality(value)}" for name, value in metrics.items()))
