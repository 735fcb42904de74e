"""`sift lineage export`: what a merge state is made of, as a file for somebody else."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example
from flows.cli.lineage import app
from flows.cli.render import print_json, say
from flows.errors import UsageError


@app.command(
    epilog=example(
        "sift lineage export members.jsonl", "sift lineage export members.jsonl --state 2"
    )
)
def export(
    file: Annotated[Path, typer.Argument(help="A new file.")],
    state: Annotated[
        int | None, typer.Option(help="The number of a merge state; without it, the current one.")
    ] = None,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Write the members of a merge state and their digests, without names, as JSON lines."""
    from flows.workspace.workspace import Workspace
    from lineage.state_export import export_state
    from sift_bytes import sha256_of

    workspace = Workspace.open(folder)
    if file.exists():
        raise UsageError(f"{file} exists already.", remedy="name a new file.")
    with workspace.lineage.reader() as reader:
        if state is None:
            current = reader.current_state()
            if current is None:
                raise UsageError("There is no merge state yet.", remedy="run `sift build` first.")
            state = current.state_seq
        data = export_state(reader, state)
    file.write_bytes(data)
    if json:
        print_json({"file": file, "state_seq": state, "sha256": sha256_of(data)})
        return
    say(f"Wrote {file}: merge state {state}, SHA-256 {sha256_of(data)}")
