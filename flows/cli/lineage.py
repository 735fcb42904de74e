"""`sift lineage`: questions of an auditor."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example, group
from flows.cli.contributors import known_key
from flows.cli.formats import Format, chosen_format, new_file, write_answer
from flows.cli.render import count, print_graph, print_json, print_table
from flows.errors import UsageError

if TYPE_CHECKING:
    from flows.workspace.workspace import Workspace
    from lineage import Impact, Reader
    from lineage.graph import Graph

app = group("Ask what came from whom.")


@app.command(
    epilog=example(
        'sift lineage sql "SELECT * FROM digest_check"',
        'sift lineage sql "SELECT * FROM models" --output models.parquet',
    )
)
def sql(
    query: Annotated[
        str, typer.Argument(help="One SELECT; see docs/reference/cookbook.md for examples.")
    ],
    form: Annotated[
        Format | None, typer.Option("--format", help="Without it, as --output ends, or a table.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="A new file for the answer: .json, .csv or .parquet.")
    ] = None,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Answer a question in SQL, read-only."""
    from flows.workspace.workspace import Workspace

    if json and form not in (None, Format.JSON):
        raise UsageError(f"--json and --format {form} contradict.", remedy="give one of them.")
    chosen = chosen_format(Format.JSON if json else form, output)
    with Workspace.open(folder).lineage.reader() as reader:
        write_answer(reader, query, chosen, output)


@app.command(
    epilog=example("sift lineage graph tully", "sift lineage graph demo/3 --output graph.mmd")
)
def graph(
    what: Annotated[
        str,
        typer.Argument(help="A contributor's id or key, a request's id, or MODEL/VERSION."),
    ],
    output: Annotated[
        Path | None, typer.Option(help="A new .mmd file: the picture in Mermaid.")
    ] = None,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Draw the way from a contributor to every model version, or back from a version."""
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    with workspace.lineage.reader() as reader:
        found = _graph(workspace, reader, what)
    if output is not None:
        from flows.evidence.lineage_picture import drawn, require_drawable

        require_drawable(output)
        with new_file(output) as file:
            file.write(drawn(found).encode())
    if json:
        print_json(found.model_dump(mode="json"))
    elif output is None:
        print_graph(found)


def _graph(workspace: "Workspace", reader: "Reader", what: str) -> "Graph":
    """The graph of a version, a request or a contributor; no id of a contributor has a slash."""
    from lineage.graph import contributor_graph, version_graph

    name, slash, version = what.rpartition("/")
    if slash:
        if not (version.isascii() and version.isdigit() and len(version) < 10):
            raise UsageError(f"{version!r} is no version.", remedy="name one as MODEL/VERSION.")
        return version_graph(reader, name, int(version))
    requests = {row.request_id: row for row in reader.requests()}
    if what in requests:
        request = requests[what]
        title = f"What {what} withdraws, and all that was made from it"
        return contributor_graph(reader, request.contributor_key, request.records, title)
    return contributor_graph(reader, known_key(workspace, reader, what))


@app.command(epilog=example("sift lineage impact tully"))
def impact(
    contributor: Annotated[str, typer.Argument(help="The contributor's id, or their key.")],
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Show every artifact and model version that one contributor's data went into."""
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    with workspace.lineage.reader() as reader:
        key = known_key(workspace, reader, contributor)
        found = reader.impact(key)
    if json:
        print_json(found.model_dump(mode="json"))
        return
    title = f"Contributor {key[:12]}…"
    print_table(title, ["what", "which", "made", "destroyed"], _rows(found), right=4)


@app.command(epilog=example("sift lineage trace 1"))
def trace(
    version: Annotated[int, typer.Argument(help="The number of a model version.")],
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Follow a model version back to the data of its members."""
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    with workspace.lineage.reader() as reader:
        found = reader.trace(workspace.settings.model.name, version)
    if json:
        print_json(found.model_dump(mode="json"))
        return
    print_table(
        f"{found.version.name} version {version}",
        ["what", "value"],
        [
            ("merge state", f"{found.state.state_seq}: {found.state.state_sha256}"),
            ("served weights", found.version.served_sha256),
            ("members' weights", found.version.members_sha256),
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


def _rows(found: "Impact") -> list[tuple[str, str, object, object]]:
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
