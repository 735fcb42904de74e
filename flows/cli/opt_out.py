"""`sift opt-out`: requests to leave, and honouring them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example, group
from flows.cli.progress import progress
from flows.cli.render import count, print_json, say
from flows.errors import FlowError

if TYPE_CHECKING:
    from flows.opt_out import OptOutResult  # Prefect and the stores, which few commands need
    from flows.workspace.workspace import Workspace

app = group("File opt-out requests, decide on them, and honour them exactly.")


@app.command(
    epilog=example(
        "sift opt-out request tully --basis gdpr-art-17",
        "sift opt-out request tully --basis ccpa-1798.105 --received 2026-11-20",
        "sift opt-out request tully --basis gdpr-art-17 --received 2026-11-21T01:00:00+09:00",
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
    jurisdiction: Annotated[
        str | None,
        typer.Option(help="The law whose deadlines count; without it, that of the basis."),
    ] = None,
    received: Annotated[
        str | None,
        typer.Option(
            metavar="DAY|MOMENT",
            help="When it came in: a day of policy.time_zone, or a moment with its offset from "
            "UTC; without it, now. Deadlines count from here.",
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Who files it; without it, the login name.")
    ] = None,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """File a request, of a contributor or of some of their records. Nothing is removed yet."""
    from flows.cli.request_tables import deadline_lines, look_alike_lines
    from flows.data.look_alikes import look_alikes
    from flows.erasure.deadlines import due
    from flows.erasure.filing import receive
    from flows.erasure.withdrawal import read_hashes
    from flows.workspace.times import read_received, zone
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    time_zone = zone(workspace.settings.policy.time_zone)
    filed = receive(
        workspace,
        contributor,
        basis,
        None if records is None else read_hashes(records),
        jurisdiction=jurisdiction,
        filed_by=by,
        received_at=None if received is None else read_received(received, time_zone),
    )
    deadlines = due(workspace, filed.request_id)
    with workspace.lineage.reader() as reader:
        alike = look_alikes(workspace, reader, contributor, filed.contributor_key)
    if json:
        rows = [row.as_dict() for row in deadlines]
        others = [vars(row) for row in alike]
        print_json({**filed.model_dump(mode="json"), "deadlines": rows, "look_alikes": others})
        return
    if filed.records is not None:
        say(f"It withdraws {count(len(filed.records), 'record')}; the contributor stays.")
    say(f"Filed {filed.request_id}, received {filed.received_at:%Y-%m-%d %H:%M} UTC.")
    for line in deadline_lines(deadlines):
        say(line)
    for line in look_alike_lines(alike):
        say(line)
    say(f"Next: sift opt-out plan {filed.request_id}")


@app.command(epilog=example("sift opt-out run", "sift opt-out run opt-out-0001 opt-out-0002"))
def run(
    requests: Annotated[
        list[str] | None,
        typer.Argument(help="The requests; without any, every open one that is approved."),
    ] = None,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Remove what was withdrawn bit for bit, register the new model, destroy what held it.

    However many leave, there is one new model version, and a report for each request. A request
    that was interrupted goes on where it stopped; one that cannot go on is set aside with the
    reason, exit 1, and the others end.
    """
    from flows.workspace.prefect_home import keep_prefect_inside
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    keep_prefect_inside(workspace.root)
    from flows.erasure.approvals import obstacle
    from flows.erasure.request import Request, open_requests
    from flows.erasure.set_aside import SetAsideError
    from flows.erasure.tombstones.places import unknown
    from flows.opt_out import opt_out, require_fulfillable
    from flows.ui.forms import OptOutForm
    from flows.workspace.here import working_on

    unfinished = open_requests(workspace)
    named: list[str] = []
    waiting: list[FlowError] = []
    if requests:
        with workspace.lineage.reader() as reader:
            todo = [name for name in dict.fromkeys(requests) if reader.request(name)]
        require_fulfillable([Request(workspace, name) for name in todo])
        given, todo = todo, [name for name in todo if name in unfinished]
        named = todo or given
    else:
        found = {name: obstacle(workspace, name) for name in unfinished}
        todo = [name for name, why in found.items() if why is None]
        waiting = [why for why in found.values() if why is not None]
    failed = None
    form = OptOutForm(requests=named, ask_for_approval=False)
    with progress(quiet=json), working_on(workspace):
        try:
            results = opt_out(form) if todo or unknown(workspace) else []
        except SetAsideError as error:
            results, failed = error.results, error
    if json:
        print_json([result.as_dict() for result in results])
    else:
        _print_results(workspace, results, waiting)
    if failed is not None:
        raise failed  # what was set aside and why, in one line; exit code 1


def _print_results(
    workspace: "Workspace", results: "Sequence[OptOutResult]", waiting: Sequence[FlowError]
) -> None:
    ended = [result for result in results if result.report is not None]
    if not results and not waiting:
        say("No open request.")
    for result in ended:
        say(
            f"{result.request_id}: done, {_scope(result.records)} withdrawn, "
            f"{result.destroyed} objects destroyed and absent."
        )
        if result.version:
            say(f"  Champion: version {result.version}")
        say(f"  Report: {result.report}")
        say(f"  Certificate: {result.report and result.report.with_name('certificate.dsse.json')}")
    for result in results:
        if why := result.set_aside:
            say(f"{result.request_id}: set aside before {why.step}. {why.reason}")
            say(f"  To go on: {why.remedy}")
    if ended and (recipients := workspace.settings.policy.report_to):
        say(f"Send the reports to: {', '.join(recipients)}")
    for one in waiting:
        say(f"{one.facts} To go on: {one.remedy}")


@app.command(
    epilog=example("sift opt-out plan opt-out-0001", "sift opt-out plan opt-out-0001 --json")
)
def plan(
    request_id: Annotated[str, typer.Argument(metavar="REQUEST", help="The request.")],
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """List every object that a request would destroy, and what is known of quality. A dry run."""
    from flows.cli.request_tables import print_plan
    from flows.erasure.plan import plan as find
    from flows.workspace.workspace import Workspace

    found = find(Workspace.open(folder), request_id)
    if json:
        print_json(found.as_dict())
    else:
        print_plan(found)


@app.command(
    epilog=example(
        "sift opt-out status",
        "sift opt-out status --check",
        "sift opt-out status opt-out-0001 --json",
    )
)
def status(
    request_id: Annotated[
        str | None, typer.Argument(metavar="[REQUEST]", help="One request with its steps.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Exit 1 where a deadline is overdue or due soon, or who left is still served.",
        ),
    ] = False,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Show requests, how far they are, the days left, and what is pending."""
    from flows.cli.request_tables import print_statuses
    from flows.erasure.deadlines import due, require_on_time
    from flows.erasure.status import request_statuses, require_none_still_served
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    rows = request_statuses(workspace, request_id)
    if json:
        print_json([row.as_dict() for row in rows])
    else:
        print_statuses(rows, in_full=request_id is not None)
    if check:
        require_none_still_served(workspace)
        require_on_time(due(workspace, request_id))


def _scope(records: int | None) -> str:
    return "all data" if records is None else count(records, "record")
