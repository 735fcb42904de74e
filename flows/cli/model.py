"""`sift model`: taking the model out."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example, group
from flows.cli.progress import progress
from flows.cli.render import print_json, say

app = group("Take a model out of the workspace.")


@app.command(
    epilog=example(
        "sift model export --contributor tully exported/",
        "sift model export --to 'Partner Ltd' --purpose pilot exported/",
        "sift model export --sign exported/",
        "sift model export --merged exported/",
    )
)
def export(
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.")],
    contributor: Annotated[
        str | None, typer.Option(help="Serve this contributor: apply their mask.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="Who receives it; without it, the login name.")
    ] = None,
    purpose: Annotated[str | None, typer.Option(help="What they receive it for.")] = None,
    sign: Annotated[
        bool, typer.Option("--sign", help="Write FOLDER.sig beside it, in sigstore's format.")
    ] = False,
    merged: Annotated[
        bool, typer.Option("--merged", help="Add adapters to the base: all weights in one model.")
    ] = False,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Write the champion as a folder that others load; note who receives it.

    Plain from_pretrained loads it, or PEFT where contributors train adapters.
    """
    from flows.evidence.export import export as write
    from flows.evidence.model_signature import require_model_signing, sign_model
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    if sign:
        require_model_signing()
    with progress(quiet=json):
        path, sha256 = write(workspace, target, contributor, to, purpose, merged=merged)
    signature = sign_model(workspace, path) if sign else None
    if json:
        masked = contributor is not None
        facts = {"folder": path, "weights_sha256": sha256, "masked": masked}
        print_json({**facts, "signature": signature})
        return
    say(f"Wrote {path} ({'masked' if contributor else 'unmasked'}), weights SHA-256 {sha256}")
    if signature is not None:
        say(f"Signed it: {signature}")
