"""`sift workers`: finetuning on the work pool of a Prefect server."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example, group
from flows.cli.render import count, print_json, print_table, say

app = group("Let the workers of a Prefect work pool finetune, and see what they gave back.")


@app.command(epilog=example("sift workers register gpu"))
def register(
    pool: Annotated[str, typer.Argument(help="The name of a Prefect work pool.")],
    json: JsonOption = False,
) -> None:
    """Register the deployment `finetune-shard/POOL` with the Prefect server, or renew it.

    Needs no workspace. Then name the pool as build.pool in params.yaml.
    """
    from flows.training.workers.pool import register as register_deployment

    name = register_deployment(pool)
    if json:
        print_json({"pool": pool, "deployment": name})
        return
    say(f"Registered {name}. Set build.pool to {pool} in params.yaml of a workspace,")
    say(f"and start a worker on every machine: sift workers start {pool}")


@app.command(epilog=example("sift workers start gpu", "sift workers start gpu --name host-gpu1"))
def start(
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
    from flows.training.workers.process import work as work_for

    work_for(pool, name, limit)


@app.command(
    epilog=example("sift workers describe", "sift workers describe --device cuda --out gpu-3.json")
)
def describe(
    device: Annotated[
        str, typer.Option(help="What finetunings run on, as finetune.device: cpu, cuda or cuda:1.")
    ] = "cpu",
    out: Annotated[
        Path | None, typer.Option(help="A new file to write it to; without it, it is printed.")
    ] = None,
) -> None:
    """Describe this machine, as JSON, for the workspace that its results are to count in.

    Needs no workspace. Software, processor and device; no name of the machine and no address.
    """
    from flows.training.workers.machines import this_machine, write_description

    machine = this_machine(device)
    if out is None:
        print_json(machine.model_dump())
        return
    write_description(machine, out)
    say(f"Wrote {out}. Read it, then where the workspace is: sift workers admit {out.name}")


@app.command(epilog=example("sift workers admit gpu-3.json"))
def admit(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="What `sift workers describe` printed.")
    ],
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Let results of these machines count. Lineage keeps the descriptions: read them first."""
    from flows.training.workers.machines import admit as take_in
    from flows.training.workers.machines import read_description
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    machines = [read_description(path) for path in files]
    for machine in machines:
        take_in(workspace, machine)
    if json:
        print_json({"admitted": [machine.machine_id for machine in machines]})
        return
    for machine in machines:
        say(f"Admitted {machine.machine_id[:16]}: {machine.platform}, {machine.device}.")


@app.command(epilog=example("sift workers machines", "sift workers machines --dismiss 3f9a"))
def machines(
    dismiss: Annotated[
        str | None, typer.Option(metavar="ID", help="Let results of this machine count no more.")
    ] = None,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """List the machines whose results count; this machine's own do without being listed."""
    from flows.training.workers.machines import admitted
    from flows.training.workers.machines import dismiss as let_go
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    if dismiss is not None:
        let_go(workspace, dismiss)
    rows = admitted(workspace)
    if json:
        print_json({name: row.model_dump() for name, row in rows.items()})
    elif rows:
        print_table(
            count(len(rows), "machine"),
            ["id", "platform", "device", "python", "torch", "this package"],
            [
                (
                    name[:16],
                    row.platform,
                    row.device,
                    row.python,
                    row.packages.get("torch", ""),
                    row.code_version,
                )
                for name, row in rows.items()
            ],
            right=6,
        )
    else:
        say("None is admitted: only workers on a machine that is like this one count.")


@app.command(epilog=example("sift workers quarantine", "sift workers quarantine --check"))
def quarantine(
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 where anything is in quarantine.")
    ] = False,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """List what workers gave back and did not count, each with the reason.

    The files are in .sift/quarantine. An opt-out destroys them.
    """
    from flows.training.workers.quarantine import quarantined, require_none
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    rows = quarantined(workspace)
    if json:
        print_json({"workspace": workspace.root, "quarantined": [row.as_dict() for row in rows]})
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
