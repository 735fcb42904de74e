"""`sift backup` and `sift restore`: copies of a workspace, and going on from one."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.cli.app import JsonOption, WorkspaceOption, example, group
from flows.cli.progress import progress
from flows.cli.render import count, out, print_json, say
from flows.workspace.characters import plain

app = group("Back up a workspace, see which copies exist, and destroy one.")
restoring = typer.Typer()


@app.command(epilog=example("sift backup make /backups", "sift backup make /backups/monday.sift"))
def make(
    target: Annotated[Path, typer.Argument(metavar="PATH", help="A new file, or a folder for it.")],
    by: Annotated[
        str | None, typer.Option(help="Who makes it; without it, the login name.")
    ] = None,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Write everything of the workspace into one file, keys and contributors' rows included.

    An opt-out does not reach it: the report of each says which backups still hold who left.
    """
    from flows.operations.backup.backup import make_backup
    from flows.workspace.workspace import Workspace

    with progress(quiet=json):
        made = make_backup(Workspace.open(folder), target, by)
    if json:
        print_json(made.as_dict())
        return
    say(f"Wrote {made.file}: {made.backup_id}, {count(made.files, 'file')}, {made.bytes} bytes.")
    say(f"Its manifest has SHA-256 {made.sha256}: keep that elsewhere, restoring asks for it.")
    say("It holds the workspace's secret and keys: keep it as you keep those.")
    say(f"Later opt-outs are noted in {made.file}.departures: keep it with the backup.")


@app.command("list", epilog=example("sift backup list"))
def list_backups(folder: WorkspaceOption = Path(), json: JsonOption = False) -> None:
    """Show every backup that was made, and whether it is still there."""
    from flows.workspace.workspace import Workspace

    with Workspace.open(folder).lineage.reader() as reader:
        rows = reader.process.backups()
    state = {row.backup_id: _state(row.place, gone=bool(row.destroyed_at)) for row in rows}
    if json:
        print_json([{**row.model_dump(mode="json"), "state": state[row.backup_id]} for row in rows])
        return
    table = Table(title="Backups", title_justify="left", header_style="bold")
    for name in ("backup", "made", "by", "state", "file"):
        table.add_column(name, overflow="fold")  # a path is to be copied
    for row in rows:
        facts = (row.made_by, state[row.backup_id], row.place)
        cells = [row.backup_id, f"{row.made_at:%Y-%m-%d %H:%M}", *facts]
        table.add_row(*(escape(plain(cell)) for cell in cells))
    out.print(table)


@app.command(epilog=example("sift backup destroy backup-0001"))
def destroy(
    backup: Annotated[str, typer.Argument(help="The backup, such as backup-0001.")],
    by: Annotated[
        str | None, typer.Option(help="Who destroys it; without it, the login name.")
    ] = None,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Delete a backup, or record that it is gone."""
    from flows.operations.backup.backup import destroy_backup
    from flows.workspace.workspace import Workspace

    gone = destroy_backup(Workspace.open(folder), backup, by)
    if json:
        print_json(gone.model_dump(mode="json"))
        return
    say(f"{gone.backup_id} is gone: {gone.place}")


@restoring.command(
    epilog=example(
        "sift restore monday.sift films --digest 3f0c…",
        "sift restore monday.sift films --key keys --departures /mnt/remote/departures",
    )
)
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `sift backup make` wrote.")],
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    departures: Annotated[
        list[Path] | None,
        typer.Option(help="Also read here who has left since; may be given more than once."),
    ] = None,
    nobody_left: Annotated[
        bool,
        typer.Option("--nobody-left", help="Say that no opt-out ended since the backup was made."),
    ] = False,
    digest: Annotated[
        str | None, typer.Option(help="The manifest's SHA-256, as `sift backup make` printed it.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(help="The workspace's public key, or the folder of `sift keys show --out`."),
    ] = None,
    take_over: Annotated[
        bool | None,
        typer.Option(
            "--take-over/--copy",
            help="The workspace is lost and this one takes its place, or goes on beside it.",
            show_default="as can be seen",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a workspace from a backup, every byte checked, and remove again who has left since.

    The backup must be known: by the digest that was printed when it was made, or by the key that
    signed it.
    """
    from flows.operations.backup.restore import restore as work
    from flows.operations.backup.signature import Trust
    from flows.workspace.keyring import read_ring

    with progress(quiet=json):
        done = work(
            file,
            folder,
            Trust(read_ring(key) if key else None, digest),
            departures=departures or [],
            nobody_left=nobody_left,
            take_over=take_over,
        )
    if json:
        print_json(done.as_dict())
        return
    say(f"Restored {done.workspace} from {done.backup_id} of {done.made_at}.")
    if done.copy_of:
        say(f"It is a copy of {done.copy_of}, with stores of its own: `sift workspace --help`.")
    say(f"Noted since: {count(done.departures, 'opt-out')}.")
    for name in done.carried_out_again:
        say(f"  {name}: carried out again. Report: {done.workspace}/reports/{name}/report.html")
    say(f"Next: sift audit --workspace {done.workspace}")


def _state(place: str, *, gone: bool) -> str:
    if gone:
        return "destroyed"
    if not Path(place).parent.is_dir():
        return "out of reach"
    return "there" if Path(place).is_file() else "missing"
