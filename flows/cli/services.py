"""`sift up`, `sift down`: the services of a workspace on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example
from flows.cli.render import print_json, print_table, progress_bars, say

app = typer.Typer()


@app.command(epilog=example("sift up", "sift up --prefect-port 4300 --mlflow-port 0"))
def up(
    workspace: WorkspaceOption = Path(),
    prefect_port: Annotated[
        int, typer.Option(help="Port of the Prefect UI; 0: any free one.", min=0, max=65535)
    ] = 4200,
    mlflow_port: Annotated[
        int, typer.Option(help="Port of the MLflow UI; 0: any free one.", min=0, max=65535)
    ] = 5001,
    json: JsonOption = False,
) -> None:
    """Start the Prefect UI, the MLflow UI and a worker on this machine, with all deployments."""
    from flows.operations.services.up import up as bring_up
    from flows.workspace.server_key import key_path
    from flows.workspace.workspace import Workspace

    place = Workspace.open(workspace)
    with progress_bars(quiet=json):
        services = bring_up(place, prefect_port=prefect_port, mlflow_port=mlflow_port)
    if json:
        print_json([service.as_dict() for service in services])
        return
    print_table(
        "Services",
        ["service", "", "address"],
        [(one.name, one.standing, one.url) for one in services],
        right=3,
    )
    say(f"Deployments: {services[0].url}/deployments")
    say(f"Both ask once for a key: it is in {key_path(place.root)}")
    say(f"Logs: {place.root / '.sift' / 'logs'}")
    say("Next: start a run there, or any `sift` command here; `sift down` stops what was started.")


@app.command(epilog=example("sift down"))
def down(workspace: WorkspaceOption = Path(), json: JsonOption = False) -> None:
    """Stop what `sift up` started in this workspace, and nothing else."""
    from flows.operations.services.up import down as bring_down
    from flows.workspace.workspace import Workspace

    place = Workspace.open(workspace)
    with progress_bars(quiet=json):
        stopped = bring_down(place)
    if json:
        print_json({"stopped": stopped})
        return
    say(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")
