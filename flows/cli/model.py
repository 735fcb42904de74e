"""`sift model`: taking the model out."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example, group
from flows.cli.render import print_json, say

app = group("Take a model out of the workspace.")


@app.command(
    epilog=example(
        "sift model export --contributor tully exported/",
        "sift model export --to 'Partner Ltd' --purpose pilot exported/",
    )
)
def export(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    contributor: Annotated[
        str | None, typer.Option(help="Serve this contributor: apply their mask.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="Who receives it; without it, the login name.")
    ] = None,
    purpose: Annotated[str | None, typer.Option(help="What they receive it for.")] = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Write the champion as a folder that plain from_pretrained loads; note who receives it."""
    from flows.registering import export as write
    from flows.workspace import Workspace

    path, sha256 = write(Workspace.open(workspace), folder, contributor, to, purpose)
    if json:
        print_json({"folder": path, "weights_sha256": sha256, "masked": contributor is not None})
        return
    say(f"Wrote {path} ({'masked' if contributor else 'unmasked'}), weights SHA-256 {sha256}")
