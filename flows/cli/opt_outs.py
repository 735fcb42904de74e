"""`sift opt-out`: requests to leave, and honouring them."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example, group
from flows.cli.render import count, print_json, print_table, progress_bars, say

app = group("File opt-out requests and honour them exactly.")


@app.command(
    epilog=example(
        "sift opt-out request tully --basis gdpr-art-17",
        "sift opt-out request tully --basis gdpr-art-17 --records withdrawn.txt",
    )
)
def request(
    contributor: Annotated[str, typer.Argument(help="The contributor's id.")],
    basis: Annotated[
        str, typer.Option(help="The right it rests on, such as gdpr-art-17 or ccpa-1798.105.")
    ],
    records: Annotated[
        Path | None,
        typer.Option(help="A file of record hashes, one a line: withdraw these and keep the rest."),
    ] = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """File a request, of a contributor or of some of their records. Nothing is removed yet."""
    from flows.removal import receive
    from flows.withdrawal import read_hashes
    from flows.workspace import Workspace

    place = Workspace.open(workspace)
    named = None if records is None else read_hashes(records)
    filed = receive(place, contributor, basis, named)
    if json:
        print_json(filed.model_dump(mode="json"))
        return
    if filed.records is not None:
        say(f"It withdraws {count(len(filed.records), 'record')}; the contributor stays.")
    say(f"Filed {filed.request_id}, received {filed.received_at:%Y-%m-%d %H:%M} UTC.")
    say(f"Next: sift opt-out run {filed.request_id}")


@app.command(epilog=example("sift opt-out run", "sift opt-out run opt-out-0001"))
def run(
    request_id: Annotated[
        str | None, typer.Argument(help="The request; without it, every open one.")
    ] = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Remove what was withdrawn bit for bit, register the new model, destroy what held it.

    A request that was interrupted goes on where it stopped.
    """
    from flows.quiet import keep_prefect_inside
    from flows.workspace import Workspace

    place = Workspace.open(workspace)
    keep_prefect_inside(place.root)
    from flows.opt_out import opt_out

    with place.lineage.reader() as reader:
        wanted = [request_id] if request_id else [r.request_id for r in reader.requests()]
        todo = [name for name in wanted if reader.next_step(name) is not None]
    with progress_bars(quiet=json):
        results = [opt_out(place.root, name) for name in todo]
    if json:
        print_json([result.as_dict() for result in results])
        return
    if not results:
        say("No open request.")
    for result in results:
        say(
            f"{result.request_id}: done, {_scope(result.records)} withdrawn, "
            f"{result.destroyed} objects destroyed and absent."
        )
        if result.version:
            say(f"  Champion: version {result.version}")
        say(f"  Report: {result.report}")


@app.command(epilog=example("sift opt-out status", "sift opt-out status opt-out-0001 --json"))
def status(
    request_id: Annotated[str | None, typer.Argument(help="One request with its steps.")] = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Show requests and how far they are."""
    from flows.workspace import Workspace

    place = Workspace.open(workspace)
    with place.lineage.reader() as reader:
        requests = [reader.request(request_id)] if request_id else reader.requests()
        steps = {row.request_id: reader.steps(row.request_id) for row in requests}
        upcoming = {row.request_id: reader.next_step(row.request_id) for row in requests}
    if json:
        print_json(
            [
                {
                    **row.model_dump(mode="json"),
                    "steps": [step.model_dump(mode="json") for step in steps[row.request_id]],
                    "next_step": upcoming[row.request_id],
                }
                for row in requests
            ]
        )
        return
    print_table(
        "Opt-out requests",
        ["request", "contributor key", "withdraws", "basis", "received", "done", "next"],
        [
            (
                row.request_id,
                row.contributor_key[:12] + "…",
                _scope(None if row.records is None else len(row.records)),
                row.basis,
                row.received_at,
                steps[row.request_id][-1].step,
                upcoming[row.request_id] or "ended",
            )
            for row in requests
        ],
        right=7,
    )
    if request_id:
        print_table(
            request_id,
            ["step", "at (UTC)"],
            [(step.step, step.done_at) for step in steps[request_id]],
            right=2,
        )


def _scope(records: int | None) -> str:
    return "all data" if records is None else count(records, "record")
