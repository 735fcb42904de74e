"""`sift up`: the services of a workspace on this machine, for as long as it runs."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example
from flows.cli.progress import progress
from flows.cli.render import print_json, print_table, say

if TYPE_CHECKING:
    from flows.operations.services.up import Up
    from flows.workspace.workspace import Workspace

app = typer.Typer()


@app.command(epilog=example("sift up", "sift up --prefect-port 4300 --mlflow-port 0"))
def up(
    folder: WorkspaceOption = Path(),
    prefect_port: Annotated[
        int, typer.Option(help="Port of the Prefect UI; 0: any free one.", min=0, max=65535)
    ] = 4200,
    mlflow_port: Annotated[
        int, typer.Option(help="Port of the MLflow UI; 0: any free one.", min=0, max=65535)
    ] = 5001,
    json: JsonOption = False,
) -> None:
    """Run the Prefect UI, the MLflow UI and all deployments on this machine, until Ctrl-C."""
    from flows.operations.services.up import up as bring_up
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    starting = bring_up(workspace, prefect_port=prefect_port, mlflow_port=mlflow_port)
    with _ended_by_signals(), ExitStack() as stack:
        with progress(quiet=json):
            services = stack.enter_context(starting)
        _show(workspace, services, json=json)
        try:
            services.wait()
        except KeyboardInterrupt:  # how it is meant to end
            _tell("Ending.", json=json)
    _tell("Ended.", json=json)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let what ends a command in a terminal end it in the same way where there is none.

    A signal that whoever started us has us ignore (`nohup`) stays ignored.
    """
    numbers = [signal.SIGTERM, signal.SIGHUP]
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(workspace: "Workspace", up: "Up", *, json: bool) -> None:
    from flows.workspace.server_key import key_path

    if json:
        print_json([service.as_dict() for service in up.services])
        return
    print_table(
        "Services",
        ["service", "", "address"],
        [(one.name, one.state, one.url) for one in up.services],
        right=3,
    )
    say(f"Deployments: {up.services[0].url}/deployments")
    say(f"Both ask once for a key: it is in {key_path(workspace.root)}")
    say(f"Logs: {workspace.root / '.sift' / 'logs'}; what runs say is shown here.")
    say("Next: start a run there, or any `sift` command elsewhere; Ctrl-C ends all of it.")


def _tell(text: str, *, json: bool) -> None:
    if not json:
        say(text)
