"""`sift contributors`: whose data is here."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example, group
from flows.cli.progress import progress
from flows.cli.render import count, print_json, print_table, say

if TYPE_CHECKING:
    from flows.workspace.workspace import Workspace
    from lineage import DatasetVersionRecord, Reader, TaskVectorRecord

app = group("Add and look at contributors and their data.")

_LONG = {
    "window": "They are read whole, window by window",
    "cut": "Texts are cut to their beginning, chats to their end",
}


@app.command(
    epilog=example(
        "sift contributors add reviews.jsonl",
        "sift contributors add --rejoin 'consent form 12' back.jsonl",
    )
)
def add(
    files: Annotated[
        list[Path],
        typer.Argument(help="JSON Lines, CSV or Parquet; docs/reference/contributors-files.md."),
    ],
    folder: WorkspaceOption = Path(),
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the rows of contributors already here.")
    ] = False,
    rejoin: Annotated[
        str | None,
        typer.Option(
            help="Where the new consent of contributors who had opted out is kept, such as a form's"
            " number: take them in again."
        ),
    ] = None,
    two_people: Annotated[
        list[str] | None,
        typer.Option(
            help="An id that looks like another's and is another person; give it once per id."
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="Who records that consent, or says that they are two; without it, the login name."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Validate files of rows and make them their contributors' datasets."""
    from flows.training.intake import add_contributors
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    with progress(quiet=json):
        added = add_contributors(
            workspace,
            files,
            replace=replace,
            rejoin=rejoin,
            two_people=two_people or (),
            recorded_by=by,
        )
    if json:
        print_json([vars(row) for row in added])
        return
    print_table(
        "Contributors",
        ["contributor", "status", "train rows", "held-out rows", "long rows"],
        [
            (row.contributor, row.status, row.train_rows, row.test_rows, row.long_rows)
            for row in added
        ],
        right=3,
    )
    if any(row.long_rows for row in added):
        settings = workspace.settings
        say(
            f"Long: more than the {settings.base.max_length} tokens of base.max_length. "
            f"{_LONG[settings.data.too_long]} (data.too_long)."
        )
    if any(row.status != "unchanged" for row in added):
        say("Next: sift build")


@app.command("list", epilog=example("sift contributors list --json"))
def list_all(folder: WorkspaceOption = Path(), json: JsonOption = False) -> None:
    """List the contributors who are here."""
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    with workspace.lineage.reader() as reader:
        table = reader.sql(
            "SELECT external_id, contributor_key, train_rows, test_rows, added_at, status "
            "FROM contributors WHERE erased_at IS NULL ORDER BY external_id"
        )
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    if json:
        print_json(rows)
        return
    print_table(
        count(len(rows), "contributor"),
        ["contributor", "key", "status", "train rows", "held-out rows"],
        [
            (
                row["external_id"],
                row["contributor_key"][:12] + "…",
                row["status"],
                row["train_rows"],
                row["test_rows"],
            )
            for row in rows
        ],
        right=3,
    )


@app.command(epilog=example("sift contributors show tully"))
def show(
    contributor: Annotated[str, typer.Argument(help="The contributor's id, or their key.")],
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Show one contributor: data, task vector, and quality in the current model."""
    from flows.models.measures import by_weights
    from flows.models.metrics import own_values
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    with workspace.lineage.reader() as reader:
        key = known_key(workspace, reader, contributor)
        impact = reader.impact(key)
        current = reader.current_state()
        rows = reader.evaluations(current.state_seq) if current else []
    quality = own_values(rows, key)
    if json:
        print_json({"impact": impact.model_dump(mode="json"), "quality": quality})
        return
    vector = impact.vectors[-1] if impact.vectors else None
    facts: list[tuple[str, object]] = [
        ("key", key),
        ("data versions", len(impact.datasets)),
        ("rows (train + held out)", _rows(impact.datasets)),
        ("task vector", vector.vector_sha256[:16] + "…" if vector else "not built"),
        ("moved entries", f"{vector.nonzero} of {vector.entries}" if vector else None),
        ("bytes on disk", _bytes(vector) if vector else None),
        ("in model versions", ", ".join(str(row.version) for row in impact.versions) or "none"),
    ]
    print_table(contributor, ["what", "value"], facts, right=2)
    if quality:
        print_table(
            "Quality in the current model",
            ["weights", "measured", "held in", "held out"],
            [(weights, words, *values) for weights, words, values in by_weights(quality)],
            right=2,
        )


@app.command(
    epilog=example("sift contributors records tully", "sift contributors records tully --json")
)
def records(
    contributor: Annotated[str, typer.Argument(help="The contributor's id, or their key.")],
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """List one contributor's records by hash, to name them in `sift opt-out request --records`."""
    from flows.data.datasets import load_dataset
    from flows.data.rows import preview, record_json
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    with workspace.lineage.reader() as reader:
        key = known_key(workspace, reader, contributor)
        current = [row for row in reader.current_datasets() if row.contributor_key == key]
    datasets = [load_dataset(workspace, row) for row in current]
    rows = [
        {
            "record": workspace.digests.record(key, record_json(row)),
            "split": split,
            "preview": _shortened(preview(row)),
        }
        for dataset in datasets
        for split, own in (("train", dataset.train), ("held out", dataset.test))
        for row in own
    ]
    if json:
        print_json(rows)
        return
    print_table(
        f"{contributor}: {count(len(rows), 'record')}",
        ["record", "split", "preview"],
        [tuple(row.values()) for row in rows],
        right=3,
    )


def known_key(workspace: "Workspace", reader: "Reader", contributor: str) -> str:
    """The key of a contributor named by id or by key. Raises UsageError where there is none."""
    from flows.data.look_alikes import unknown_contributor

    known = {row.contributor_key for row in reader.contributors()}
    if contributor in known:
        return contributor
    key = workspace.key_of(contributor)
    if key not in known:
        raise unknown_contributor(workspace, reader, contributor)
    return key


def _bytes(vector: "TaskVectorRecord") -> int:
    return vector.mask_bytes + (0 if vector.dropped_at else vector.vector_bytes)


def _rows(datasets: Sequence["DatasetVersionRecord"]) -> str:
    last = datasets[-1] if datasets else None
    return f"{last.train_rows} + {last.test_rows}" if last else "none"


def _shortened(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


@app.command(epilog=example("sift contributors canary tully --count 3"))
def canary(
    contributor: Annotated[str, typer.Argument(help="Whose rows the canaries join.")],
    how_many: Annotated[int, typer.Option("--count", min=1, max=100, help="How many.")] = 1,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Make rows with made-up secrets, to see after an opt-out that nothing knows them.

    Add them with the contributor's own rows. An opt-out then measures whether the new model knows a
    canary better than a model that never saw it. Nothing about them is kept but the rows.
    """
    from flows.data.canaries import canary_row, draw_number
    from flows.workspace.identity import normal_id
    from flows.workspace.workspace import Workspace
    from sift_bytes import canonical_json

    labels = Workspace.open(folder).settings.base.labels
    rows = [canary_row(normal_id(contributor), draw_number(), labels) for _ in range(how_many)]
    if json:
        print_json(rows)
        return
    for row in rows:
        typer.echo(canonical_json(row))
