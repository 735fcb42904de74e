"""`sift init`, `build`, `status`, `demo`: the daily work."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example
from flows.cli.progress import progress
from flows.cli.render import alarm, print_json, print_table, quality, say
from flows.errors import FlowError, UsageError

if TYPE_CHECKING:
    from flows.workspace.services import Services
    from lineage import (
        MergeStateRecord,
        RebuildRecord,
        TaskVectorRecord,
    )  # DuckDB, which --help does without

app = typer.Typer()


@app.command(
    epilog=example(
        "sift init films --base ./minilm --label rotten --label fresh",
        "sift init letters --base org/model --adapter rank=16 --adapter targets=q_proj,v_proj",
    )
)
def init(
    path: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    name: Annotated[
        str | None, typer.Option(help="The model's name in MLflow; without it, the folder's.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Hugging Face id, folder or .gguf file of the base model.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="A class, once per class; none: a causal LM.")
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Train LoRA adapters: rank=16, alpha=32 or targets=q_proj,v_proj, each once.",
        ),
    ] = None,
    stores: Annotated[
        Path | None,
        typer.Option(help="A YAML file that names shared stores: docs/how-to/stores.md."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a workspace: params.yaml, git, DVC, lineage store and the secret of contributor keys."""
    from flows.workspace.settings_file import read_stores
    from flows.workspace.workspace import Workspace

    folder_name = (
        re.sub(r"[^A-Za-z0-9_.-]+", "-", path.resolve().name).strip("-._")[:100] or "model"
    )
    changes: dict[str, dict[str, Any]] = {"model": {"name": name or folder_name}, "base": {}}
    if base:
        changes["base"]["source"] = str(Path(base).resolve()) if Path(base).exists() else base
    if label:
        changes["base"]["labels"] = list(label)
    if adapter:
        changes["finetune"] = {"adapter": _adapter(adapter)}
    if stores:
        changes["stores"] = read_stores(stores)
    workspace = Workspace.create(path, changes)
    if json:
        print_json({"workspace": workspace.root})
        return
    say(f"Made {workspace.root}. Its settings are in params.yaml.")
    say(f"Next: sift contributors add FILE --workspace {workspace.root}")


def _adapter(options: Sequence[str]) -> dict[str, Any]:
    """`finetune.adapter` as the options say it. Raises UsageError for what is no NAME=VALUE."""
    found: dict[str, Any] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or not name or not value or name in found:
            raise UsageError(
                f"--adapter {option!r} is not one NAME=VALUE, or its name is there twice.",
                remedy="write --adapter rank=16 --adapter targets=q_proj,v_proj.",
            )
        found[name] = value.split(",") if name == "targets" else value
        if name != "targets" and value.isdecimal():
            found[name] = int(value)
    return found


@app.command(epilog=example("sift build"))
def build(folder: WorkspaceOption = Path(), json: JsonOption = False) -> None:
    """Finetune what is new or changed, merge, verify, evaluate, register, commit."""
    from flows.workspace.prefect_home import keep_prefect_inside
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    keep_prefect_inside(workspace.root)
    from flows.build import build as flow
    from flows.workspace.here import working_on

    with progress(quiet=json), working_on(workspace):
        result = flow()
    if json:
        print_json(result.as_dict())
        return
    print_table(
        f"{result.model} version {result.version} is the champion",
        ["weights", "measured", "held in", "held out"],
        quality_rows(result.metrics),
    )
    say(
        f"{result.contributors} contributors, {result.finetuned} finetuned now; "
        f"merge state {result.state_sha256[:16]}…, commit {result.commit[:12]}"
    )


@app.command(epilog=example("sift status", "sift status --metrics"))
def status(
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Print OpenMetrics text, for a dashboard.")
    ] = False,
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Show what is in the workspace and what is still to do."""
    from flows.erasure.status import still_served, still_served_in_words
    from flows.erasure.tombstones.places import unknown
    from flows.workspace.services import services
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    if metrics:
        from flows.operations.metrics import exposition

        print(exposition(workspace), end="")
        return
    try:
        back, away = unknown(workspace), None
    except FlowError as error:  # a disk that is away: looking goes on
        back, away = [], error.facts
    with workspace.lineage.reader() as reader:
        state = reader.current_state()
        members = reader.members(state.state_seq) if state else []
        datasets = reader.current_datasets()
        champion = reader.champion(workspace.settings.model.name)
        merged = {member.run_id for member in members}
        vectors = [row for row in reader.task_vectors() if row.run_id in merged]
        upcoming = {row.request_id: reader.next_step(row.request_id) for row in reader.requests()}
        aside = reader.process.standing_set_asides()
        rebuilt = reader.rebuild(state.state_seq) if state else None
    served = still_served(workspace)
    waiting = {name: step for name, step in upcoming.items() if step is not None}
    facts: dict[str, object] = {
        "workspace": workspace.root,
        "model": workspace.settings.model.name,
        "base model": workspace.settings.base.source,
        "contributors": len(datasets),
        "members of the merge": len(members),
        "merge state": state.state_sha256 if state else None,
        **_rebuilt(state, rebuilt),
        "champion": champion.version if champion else None,
        **_storage(workspace.settings.storage.keep, vectors),
        "open opt-outs": ", ".join(waiting) or "none",
        "services": _services(services(workspace.root)),
        "next": _next(len(datasets), len(members), waiting, back=bool(back)),
    }
    if aside:
        facts["set aside"] = "; ".join(f"{row.request_id}: {row.reason}" for row in aside.values())
    if served:
        facts["served though removed"] = ", ".join(served)
    if back:
        facts["back though they left"] = ", ".join(one.request_id for one in back)
    if away:
        facts["who left is not known"] = away
    if json:
        print_json(facts)
        return
    print_table("Workspace", ["what", "value"], list(facts.items()), right=2)
    if state and rebuilt and rebuilt.rebuilt_sha256 != state.state_sha256:
        alarm("The merge that is served is not what its members' vectors add up to: sift audit.")
    if served:
        alarm(" To end that: ".join(still_served_in_words(served)))


@app.command(epilog=example("sift demo", "sift demo /tmp/films"))
def demo(
    path: Annotated[Path, typer.Argument(help="The demo's workspace; made if missing.")] = Path(
        "demo-workspace"
    ),
    json: JsonOption = False,
) -> None:
    """Run the main job on a real model and real reviews, then honour one opt-out."""
    from flows.cli.demo import run_demo

    run_demo(path, json=json)


def quality_rows(metrics: dict[str, float]) -> list[tuple[str | None, ...]]:
    """The means by weights and metric, one row each."""
    from flows.models.measures import MARGIN, by_weights

    margins = {(of, words): own for of, words, own in by_weights(metrics, f".mean{MARGIN}")}
    return [
        (of, words, *map(quality, values, margins.get((of, words), [None] * len(values))))
        for of, words, values in by_weights(metrics, ".mean")
    ]


def _rebuilt(state: "MergeStateRecord | None", row: "RebuildRecord | None") -> dict[str, str]:
    """What an audit found that added the merge up anew; nothing where none did."""
    if state is None or row is None:
        return {}
    if row.rebuilt_sha256 != state.state_sha256:
        return {"rebuilt": f"OTHERWISE, as {row.rebuilt_sha256}"}
    return {"rebuilt": f"the same bytes, attested by certificate number {row.sequence}"}


def _services(up: "Services | None") -> str:
    """What `sift up` runs, and where."""
    if up is None:
        return "none: sift up"
    return ", ".join([*(f"{name} {url}" for name, url in up if url), "runs"])


def _storage(keep: str, vectors: Sequence["TaskVectorRecord"]) -> dict[str, object]:
    """What is kept of a member, and what either choice of `storage.keep` costs on average."""
    masks = sum(row.mask_bytes for row in vectors)
    both = masks + sum(row.vector_bytes for row in vectors)
    return {
        "kept of each member": "vector and mask" if keep == "vectors" else "mask",
        "bytes a member with vector": both // len(vectors) if vectors else None,
        "bytes a member, mask only": masks // len(vectors) if vectors else None,
    }


def _next(contributors: int, members: int, waiting: dict[str, str], *, back: bool) -> str:
    if back:  # an older workspace was restored
        return "sift opt-out run"
    undecided = [name for name, step in waiting.items() if step in ("identified", "approved")]
    if len(waiting) > len(undecided):
        return "sift opt-out run"
    if undecided:
        return f"sift opt-out plan {undecided[0]}"
    if contributors == 0:
        return "sift contributors add FILE"
    return "nothing: up to date" if contributors == members else "sift build"
