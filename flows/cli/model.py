"""`sift model`: taking the model out."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example, group
from flows.cli.render import print_json, say

app = group("Take a model out of the workspace.")


@app.command(epilog=example("sift model export --contributor tully exported/"))
def export(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    contributor: Annotated[
        str | None, typer.Option(help="Serve this contributor: apply their mask.")
    ] = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Write the champion as a folder that plain from_pretrained loads."""
    from flows.registering import export as write
    from flows.workspace import Workspace

    path, sha256 = write(Workspace.open(workspace), folder, contributor)
    if json:
        print_json({"folder": path, "weights_sha256": sha256, "masked": contributor is not None})
        return
    say(f"Wrote {path} ({'masked' if contributor else 'unmasked'}), weights SHA-256 {sha256}")
