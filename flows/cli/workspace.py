"""`sift workspace`: a folder that was moved or copied, and where this one lives."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example, group
from flows.cli.render import print_json, say

app = group("A workspace's folder was moved or copied: let its stores know.")

FromOption = Annotated[
    Path | None,
    typer.Option("--from", help="Where it lay before, if it does not know that itself."),
]


@app.command(epilog=example("sift workspace moved --workspace /srv/films"))
def moved(
    before: FromOption = None, folder: WorkspaceOption = Path(), json: JsonOption = False
) -> None:
    """Go on with a workspace in the folder it was moved to."""
    from flows.operations.relocation import settle_move

    home = settle_move(folder, before)
    if json:
        print_json(home.model_dump(mode="json"))
        return
    say(f"The workspace lives at {home.path} now.")
    say(f"Next: sift doctor --workspace {home.path}")


@app.command(epilog=example("sift workspace copied --workspace trial"))
def copied(
    before: FromOption = None, folder: WorkspaceOption = Path(), json: JsonOption = False
) -> None:
    """Make a copied folder a workspace of its own, with stores that no other one uses.

    Contributors keep their keys. What leaves the one that was copied leaves this one, too, by the
    next `sift opt-out run` or build; what leaves here is no business of the other.
    """
    from flows.operations.relocation import settle_copy

    home = settle_copy(folder, before)
    if json:
        print_json(home.model_dump(mode="json"))
        return
    say(f"{home.path} is a workspace of its own now.")
    if home.origin and home.origin.links:
        say(f"Who leaves {home.origin.path} is read in {home.origin.links[0]}.")
    else:
        say("Nothing tells it who leaves the workspace it was copied from: see `sift doctor`.")
    say(f"Next: sift build --workspace {home.path}")
