"""`sift lineage`: questions of an auditor."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example, group
from flows.cli.contributors import known_key
from flows.cli.render import count, print_json, print_table
from flows.errors import UsageError
from lineage import Impact

app = group("Ask what came from whom.")


@app.command(epilog=example('sift lineage sql "SELECT * FROM digest_check"'))
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT; see docs/lineage.md for the tables.")],
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Answer a question in SQL, read-only."""
    from flows.workspace import Workspace

    with Workspace.open(workspace).lineage.reader() as reader:
        table = reader.sql(query)
    if json:
        if len(set(table.columns)) < len(table.columns):
            raise UsageError(
                "Two columns of the answer have one name.", remedy="name them apart with AS."
            )
        print_json([dict(zip(table.columns, row, strict=True)) for row in table.rows])
        return
    print_table(count(len(table.rows), "row"), table.columns, table.rows, right=len(table.columns))


@app.command(epilog=example("sift lineage impact tully"))
def impact(
    contributor: Annotated[str, typer.Argument(help="The contributor's id, or their key.")],
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Show every artifact and model version that one contributor's data went into."""
    from flows.workspace import Workspace

    place = Workspace.open(workspace)
    with place.lineage.reader() as reader:
        key = known_key(place, reader, contributor)
        found = reader.impact(key)
    if json:
        print_json(found.model_dump(mode="json"))
        return
    title = f"Contributor {key[:12]}…"
    print_table(title, ["what", "which", "made", "destroyed"], _rows(found), right=4)


@app.command(epilog=example("sift lineage trace 1"))
def trace(
    version: Annotated[int, typer.Argument(help="The number of a model version.")],
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Follow a model version back to the data of its members."""
    from flows.workspace import Workspace

    place = Workspace.open(workspace)
    with place.lineage.reader() as reader:
        found = reader.trace(place.settings.model.name, version)
    if json:
        print_json(found.model_dump(mode="json"))
        return
    print_table(
        f"{found.version.name} version {version}",
        ["what", "value"],
        [
            ("merge state", f"{found.state.state_seq}: {found.state.state_sha256}"),
            ("served weights", found.version.served_sha256),
            ("base model", f"{found.base.source} ({found.base.base_id[:16]}…)"),
            ("public warm start", (found.base.warm_start or {}).get("name")),
            ("champion from", found.version.champion_from),
            ("champion to", found.version.champion_to),
            ("destroyed", found.version.destroyed_at),
        ],
        right=2,
    )
    print_table(
        count(len(found.members), "member"),
        ["contributor", "key", "dataset", "task vector", "code version"],
        [
            (
                member.contributor.external_id or "(erased)",
                member.contributor.contributor_key[:12] + "…",
                member.dataset.sha256[:12] + "…",
                member.vector.vector_sha256[:12] + "…",
                member.environment.code_version,
            )
            for member in found.members
        ],
        right=5,
    )


def _rows(found: Impact) -> list[tuple[str, str, object, object]]:
    rows: list[tuple[str, str, object, object]] = [
        ("dataset", _short(data.sha256), data.added_at, data.destroyed_at)
        for data in found.datasets
    ]
    for vector in found.vectors:
        made, destroyed = vector.created_at, vector.destroyed_at
        rows.append(("task vector", _short(vector.vector_sha256), made, destroyed))
        rows.append(("mask", _short(vector.mask_sha256), made, destroyed))
    for state in found.states:
        which = f"{state.state_seq}: {_short(state.state_sha256)}"
        rows.append(("merge state", which, state.created_at, state.destroyed_at))
    for version in found.versions:
        which = f"{version.name} {version.version}"
        rows.append(("model version", which, version.registered_at, version.destroyed_at))
    return rows


def _short(digest: str) -> str:
    return f"{digest[:16]}…"
