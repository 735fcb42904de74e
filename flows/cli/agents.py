"""`sift agents`: finetuning on the work pool of a Prefect server."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example, group
from flows.cli.render import count, print_json, print_table, say

app = group("Let the agents of a Prefect work pool finetune, and see what they gave back.")


@app.command(epilog=example("sift agents register gpu"))
def register(
    pool: Annotated[str, typer.Argument(help="The name of a Prefect work pool.")],
    json: JsonOption = False,
) -> None:
    """Register the deployment `finetune-shard/POOL` with the Prefect server, or renew it.

    Needs no workspace. Then name the pool as build.pool in params.yaml.
    """
    from flows.agents.pool import register as register_deployment

    name = register_deployment(pool)
    if json:
        print_json({"pool": pool, "deployment": name})
        return
    say(f"Registered {name}. Set build.pool to {pool} in params.yaml of a workspace,")
    say(f"and start a worker on every machine: sift agents work {pool}")


@app.command(epilog=example("sift agents work gpu", "sift agents work gpu --name host-gpu1"))
def work(
    pool: Annotated[str, typer.Argument(help="The name of a Prefect work pool.")],
    name: Annotated[
        str | None, typer.Option(help="The worker's name in Prefect; without it, a random one.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Assignments at a time.", min=1)] = 1,
) -> None:
    """Work for a pool on this machine until stopped: finetune what builds hand out.

    Runs the deployment `finetune-shard/POOL` and nothing else, whatever the server says. Needs no
    workspace.
    """
    from flows.agents.working import work as work_for

    work_for(pool, name, limit)


@app.command(epilog=example("sift agents quarantine", "sift agents quarantine --check"))
def quarantine(
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 where anything is in quarantine.")
    ] = False,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """List what agents gave back and did not count, each with the reason.

    The files are in .sift/quarantine. An opt-out destroys them.
    """
    from flows.agents.quarantine import quarantined, require_none
    from flows.workspace import Workspace

    place = Workspace.open(workspace)
    rows = quarantined(place)
    if json:
        print_json({"workspace": place.root, "quarantined": [row.as_dict() for row in rows]})
    elif rows:
        print_table(
            count(len(rows), "file"),
            ["contributor", "what", "reason", "Prefect run", "at"],
            [
                (
                    row.contributor_key[:12],
                    row.what,
                    row.reason,
                    row.run[:8],
                    row.at[:19].replace("T", " "),
                )
                for row in rows
            ],
            right=5,
        )
    else:
        say("Nothing is in quarantine.")
    if check:
        require_none(rows)
