"""`sift evaluate`: how good is the model for its members?"""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example
from flows.cli.build import quality_rows
from flows.cli.progress import progress
from flows.cli.render import print_json, print_table, say

app = typer.Typer()


@app.command(epilog=example("sift evaluate", "sift evaluate --all"))
def evaluate(
    everybody: Annotated[
        bool, typer.Option("--all", help="Score every member, not only those who are drawn.")
    ] = False,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Score the current model for its members; what was scored before is not scored again.

    A build and an opt-out score `evaluate.members` of them. Writes metrics.json and
    plots/quality.csv, and commits both.
    """
    from flows.models.evaluate import evaluate_state
    from flows.models.metrics import share_scored, write_metrics
    from flows.models.record import record
    from flows.workspace.current_state import current_state
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    with workspace.lock(), progress(quiet=json):
        state = current_state(workspace)
        rows = evaluate_state(workspace, state, everybody=everybody)
        metrics = write_metrics(workspace, state)
        commit = record(workspace, f"Evaluate merge state {state.state_seq}")
    with workspace.lineage.reader() as reader:
        members = reader.members(state.state_seq)
    scored = round(share_scored(members, rows) * len(members))
    if json:
        print_json({"members": len(members), "scored": scored, "metrics": metrics})
        return
    print_table(
        f"Quality of merge state {state.state_seq} for its members",
        ["weights", "measured", "held in", "held out"],
        quality_rows(metrics),
    )
    say(f"{scored} of {len(members)} members scored; commit {commit[:12]}")
