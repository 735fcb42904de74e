"""`sift keys`: what certificates and exported models are signed with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example, group
from flows.cli.render import print_json, print_table, say

if TYPE_CHECKING:
    from lineage.certificates.keys import KeyRing

app = group("Make, show and replace the keys that certificates are signed with.")


@app.command(epilog=example("sift keys init"))
def init(folder: WorkspaceOption = Path(), json: JsonOption = False) -> None:
    """Make the keys of a workspace that has none, such as one from before certificates."""
    from flows.workspace.keyring import Keys
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    with workspace.lock():
        ring = Keys(workspace.root).create()
    _print(workspace.root, ring, json)


@app.command(epilog=example("sift keys show", "sift keys show --out for-the-auditor"))
def show(
    out: Annotated[
        Path | None,
        typer.Option(help="A new folder to write the public keys and key records to."),
    ] = None,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Show the public keys, and which certificates each may sign."""
    from flows.workspace.keyring import Keys, write_public
    from flows.workspace.workspace import Workspace

    keys = Keys(Workspace.open(folder).root)
    ring = keys.ring()
    if out is not None:
        write_public(keys, out)
    _print(keys.root, ring, json)
    if out is not None and not json:
        say(f"Wrote {out}. Whoever checks a certificate names it with --key.")


@app.command(epilog=example("sift keys rotate"))
def rotate(folder: WorkspaceOption = Path(), json: JsonOption = False) -> None:
    """Replace the keys: the old one signs which is the new one, and is deleted.

    Certificates that were signed with the old key stay valid.
    """
    from flows.evidence.certificates import head
    from flows.workspace.keyring import Keys
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    with workspace.lock():
        ring = Keys(workspace.root).rotate(head(workspace).sequence)
    _print(workspace.root, ring, json)


def _print(root: Path, ring: "KeyRing", json: bool) -> None:
    terms = [
        {
            "key_id": term.key.key_id,
            "first_certificate": term.first,
            "last_certificate": term.last,
            "pem": term.key.pem.decode(),
        }
        for term in ring.terms
    ]
    if json:
        print_json({"workspace": root, "keys": terms, "model_keys": ring.model_keys})
        return
    print_table(
        "Keys of certificates",
        ["key id", "first certificate", "last certificate"],
        [(term["key_id"], term["first_certificate"], term["last_certificate"]) for term in terms],
    )
    for line in ring.current.pem.decode().splitlines():
        say(line)
