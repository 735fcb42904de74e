"""`sift opt-out approve`, `reject`, `acknowledge`, `extend`, `hold`, `release`: decisions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example
from flows.cli.contributors import known_key
from flows.cli.opt_out import app
from flows.cli.render import count, print_json, say

if TYPE_CHECKING:
    from flows.workspace.workspace import Workspace

RequestArgument = Annotated[str, typer.Argument(metavar="REQUEST", help="The request.")]
ContributorArgument = Annotated[str, typer.Argument(help="The contributor's id, or their key.")]
ByOption = Annotated[str, typer.Option(help="Your name, as the policy has it.")]
ReasonOption = Annotated[str, typer.Option(help="Why. Do not name the contributor.")]


@app.command(
    epilog=example("sift opt-out approve opt-out-0001 --by 'Ann Smith' --reason 'identity proven'")
)
def approve(
    request_id: RequestArgument,
    by: ByOption,
    reason: ReasonOption,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Approve a request, so that what it withdraws may be destroyed. This is the last word."""
    from flows.erasure.approvals import approve as decide
    from flows.workspace.workspace import Workspace

    missing = decide(Workspace.open(folder), request_id, by, reason)
    if json:
        print_json({"request_id": request_id, "approved_by": by, "approvals_missing": missing})
    elif missing:
        say(f"{request_id}: approved by {by}; {count(missing, 'more person')} must approve.")
    else:
        say(f"{request_id}: approved by {by}.")
        say(f"Next: sift opt-out run {request_id}")


@app.command(
    epilog=example("sift opt-out reject opt-out-0001 --by 'Ann Smith' --reason 'not the person'")
)
def reject(
    request_id: RequestArgument,
    by: ByOption,
    reason: ReasonOption,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """End a request without fulfilling it. Possible until the contributor is removed."""
    from flows.erasure.approvals import reject as decide
    from flows.workspace.workspace import Workspace

    decide(Workspace.open(folder), request_id, by, reason)
    if json:
        print_json({"request_id": request_id, "rejected_by": by})
        return
    say(f"{request_id}: rejected by {by}. Tell whoever asked, and why.")


@app.command(
    epilog=example("sift opt-out acknowledge opt-out-0001 --by 'Ann Smith' --reason 'by e-mail'")
)
def acknowledge(
    request_id: RequestArgument,
    by: ByOption,
    reason: Annotated[str, typer.Option(help="How. Do not name the contributor.")],
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Record that whoever withdraws was told that their request came in."""
    from flows.erasure.filing import acknowledge as record
    from flows.workspace.workspace import Workspace

    record(Workspace.open(folder), request_id, by, reason)
    if json:
        print_json({"request_id": request_id, "acknowledged_by": by})
        return
    say(f"{request_id}: acknowledged by {by}.")


@app.command(
    epilog=example("sift opt-out extend opt-out-0001 --by 'Ann Smith' --reason 'many requests'")
)
def extend(
    request_id: RequestArgument,
    by: ByOption,
    reason: ReasonOption,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Record that whoever withdraws was told why the answer takes longer; the later deadline."""
    from flows.erasure.filing import extend as record
    from flows.workspace.times import shown, zone
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    later = record(workspace, request_id, by, reason)
    if json:
        print_json({"request_id": request_id, "extended_by": by, "due_at": later})
        return
    by_when = shown(later, zone(workspace.settings.policy.time_zone))
    say(f"{request_id}: to be answered by {by_when}.")


@app.command(epilog=example("sift opt-out hold tully --by 'Jo Counsel' --reason 'case 7'"))
def hold(
    contributor: ContributorArgument,
    by: ByOption,
    reason: ReasonOption,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Place a legal hold: nothing of this contributor is destroyed until it is released."""
    from flows.erasure.approvals import place_hold
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    placed = place_hold(workspace, _key(workspace, contributor), by, reason)
    if json:
        print_json(placed.model_dump(mode="json"))
        return
    say(f"On hold since {placed.placed_at:%Y-%m-%d %H:%M} UTC. Deadlines run on.")


@app.command(epilog=example("sift opt-out release tully --by 'Jo Counsel' --reason 'case closed'"))
def release(
    contributor: ContributorArgument,
    by: ByOption,
    reason: ReasonOption,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Release a legal hold."""
    from flows.erasure.approvals import release_hold
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    key = _key(workspace, contributor)
    release_hold(workspace, key, by, reason)
    if json:
        print_json({"contributor_key": key, "released_by": by})
        return
    say("Released. Next: sift opt-out run")


def _key(workspace: "Workspace", contributor: str) -> str:
    with workspace.lineage.reader() as reader:
        return known_key(workspace, reader, contributor)
