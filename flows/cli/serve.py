"""`sift serve`: the champion answers over HTTP, to its contributors and to everybody else."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example
from flows.cli.render import print_json, say

if TYPE_CHECKING:
    from flows.operations.services.serve import Server
    from flows.workspace.workspace import Workspace

app = typer.Typer()


@app.command(epilog=example("sift serve", "sift serve --port 0 --json"))
def serve(
    folder: WorkspaceOption = Path(),
    host: Annotated[str, typer.Option(help="The interface to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="The port to listen on; 0: any free one.", min=0, max=65535)
    ] = 8000,
    own: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT", help="An address it answers at, where not the one it listens on."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Serve the champion over HTTP, and each new one as soon as it is, until Ctrl-C."""
    from flows.operations.services.serve import serve as keep_serving
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    keep_serving(
        workspace,
        host=host,
        port=port,
        own=own or [],
        ready=lambda server: _show(workspace, server, json=json),
        ended=lambda: None if json else say("Ended."),
    )


def _show(workspace: "Workspace", server: "Server", *, json: bool) -> None:
    from flows.workspace.server_key import key_path

    if json:
        print_json({"url": server.url, "version": server.version})
        sys.stdout.flush()  # whoever started us waits for it
        return
    name = workspace.settings.model.name
    say(f"Version {server.version} of {name} answers at {server.url}/invocations")
    say(f"It asks for a key: it is in {key_path(workspace.root)}")
    say("Next: send rows; Ctrl-C ends it.")
