"""`sift doctor` and `sift upgrade`: is the next command going to work, and making it so."""

from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from flows.cli.app import JsonOption, WorkspaceOption, example
from flows.cli.render import out, print_json, say
from flows.workspace.characters import plain

app = typer.Typer()

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "bold red"}


@app.command(epilog=example("sift doctor", "sift doctor --json"))
def doctor(folder: WorkspaceOption = Path(), json: JsonOption = False) -> None:
    """Check machine, stores, keys and leftovers, and say how to mend each; exit 1 on a failure."""
    from flows.operations.doctor.checks import examine
    from flows.operations.doctor.diagnosis import require_fit
    from flows.workspace.workspace import Workspace

    found = examine(Workspace.open(folder))
    if json:
        print_json([one.as_dict() for one in found])
    else:
        table = Table(title="Doctor", title_justify="left", header_style="bold")
        for name in ("check", "status", "found", "to mend it"):
            table.add_column(name, overflow="fold")
        for one in found:
            status = f"[{_COLOURS[one.status]}]{one.status}[/]"
            table.add_row(
                one.check, status, escape(plain(one.found)), escape(plain(one.remedy)) or "–"
            )
        out.print(table)
    require_fit(found)


@app.command(epilog=example("sift upgrade"))
def upgrade(
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Bring the stores of an older release's workspace up to this one; again changes nothing."""
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    with workspace.lock(), workspace.lineage.reader() as reader:
        entry = reader.audit_head()
    if json:
        print_json({"workspace": workspace.root, "audit_entry": entry.seq, "event": entry.event})
        return
    say(f"{workspace.root} is of this version; the last entry of its audit log is {entry.seq}.")
