"""What the page of a run shows in the Prefect UI: artifacts, as people there want them.

Where no run is (`flows.ui.tasks`), there is no page, nothing is shown, and Prefect not imported.

Prefect's store is not ours to erase from, so contributors are named by their key alone.
"""

import base64
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from statistics import fmean
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

import numpy as np

from flows.erasure.results import Quality, Registered
from flows.errors import FlowError
from flows.evidence.report import Destroyed
from flows.models.checks import Verification
from flows.models.measures import MEASURES, SETTINGS, SPLITS, Measure
from flows.models.metrics import Group
from flows.progress import listening, paced
from flows.ui.tasks import is_watched
from flows.workspace.services import mlflow_page
from flows.workspace.workspace import Workspace
from lineage import EvaluationRecord

Values = Mapping[tuple[str, str], Sequence[float]]
"""Weights and split → a value of each contributor."""

PROGRESS_SECONDS = 5.0
"""How often the UI hears of progress: each time is a request to the server."""
_SPLIT_NAMES = {"held_in": "trained rows", "held_out": "held-out rows"}


def show_summary(key: str, lines: Sequence[str], description: str) -> None:
    """A page of Markdown."""
    if is_watched():
        from prefect.artifacts import create_markdown_artifact

        create_markdown_artifact(key=key, markdown="\n".join(lines), description=description)


def show_table(key: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """A table, a row for each mapping of column to value."""
    if is_watched():
        from prefect.artifacts import create_table_artifact

        create_table_artifact(key=key, table=[dict(row) for row in rows], description=description)


def show_contributors(rows: Sequence[EvaluationRecord], description: str) -> None:
    """The table `contributors`: one line each, by key, with every measurement."""
    by_contributor: dict[str, dict[str, Any]] = {}
    for row in rows:
        line = by_contributor.setdefault(row.contributor_key, {"contributor": row.contributor_key})
        line[f"{row.setting} {row.split} {row.metric}"] = round(row.value, 4)
    show_table("contributors", list(by_contributor.values()), description)


def show_exactness(verification: Verification) -> None:
    """The verdict `exactness`: every check of a verification."""
    lines = [
        "# Exact, bit for bit" if verification.passed else "# NOT exact",
        f"Merge state `{verification.state_sha256}`, {verification.members} members, "
        f"{verification.level}.",
        "",
        "| check | | found |",
        "| --- | --- | --- |",
        *(
            f"| {check.name} | {'passed' if check.passed else 'FAILED'} | {check.found} |"
            for check in verification.checks
        ),
    ]
    show_summary("exactness", lines, "Is the model what its members make, to the bit?")


def show_set_aside(results: Sequence[Any]) -> None:
    """The table `set-aside`: which requests could not go on, why, and what to do."""
    aside = [(one.request_id, one.set_aside) for one in results if one.set_aside is not None]
    show_table(
        "set-aside",
        [
            {"request": name, "before": why.step, "why": why.reason, "to go on": why.remedy}
            for name, why in aside
        ],
        "Requests set aside while the others went on; the next run tries them again",
    )


def show_open_requests(waiting: Mapping[str, FlowError | None], able: Collection[str]) -> None:
    """The table `open-requests`: which are honoured in this run, and what the others wait for."""
    show_table(
        "open-requests",
        [
            {
                "request": name,
                "now": "honoured" if name in able else "waits",
                "for": "" if name in able else (why.facts if why else "the next run"),
                "to go on": why.remedy if why else "",
            }
            for name, why in waiting.items()
        ],
        "Open requests, this run",
    )


def show_destroyed(objects: Sequence[Destroyed], request_id: str) -> None:
    """The table `destroyed`: object by object, each looked for again."""
    show_table(
        "destroyed",
        [one.model_dump(mode="json") for one in objects],
        f"Destroyed for {request_id}, each looked for again",
    )


def show_quality(rows: Sequence[EvaluationRecord], members: int) -> None:
    """The chart `quality`: each contributor a dot, the mean a line, by weights and split.

    Of `members`, those who were scored; what the mean may be off by is shaded.
    Drawn for a server that people look at; the temporary one is not kept waiting for a picture.
    """
    if not is_watched() or not rows:
        return
    lines: list[str] = []
    scored = len({row.contributor_key for row in rows}) / members
    for metric, measure in MEASURES.items():
        measured = [row for row in rows if row.metric == metric]
        if not measured:
            continue
        values: Values = {
            (setting, split): [
                row.value for row in measured if (row.setting, row.split) == (setting, split)
            ]
            for split in SPLITS
            for setting in SETTINGS
        }
        means = [
            f"| {setting} | {_SPLIT_NAMES[split]} | {fmean(own):.4f} ± {_margin(own, scored):.4f} |"
            for (setting, split), own in values.items()
            if own
        ]
        lines += [
            f"![The {measure.words} of each contributor by weights]"
            f"({_picture(measure, values, scored)})",
            "",
            f"| weights | measured on | {measure.words}, mean with its 95 % interval |",
            "| --- | --- | --- |",
            *means,
            "",
        ]
    show_summary("quality", lines, "Quality of each contributor, by weights")


def show_before_and_after(quality: Quality) -> None:
    """The table `quality-before-and-after` of an opt-out, where anything was measured."""
    table = []
    for who, sides in (("who stays", quality.retained), ("who left", quality.contributor)):
        before, after = sides.before, sides.after
        table += [
            {"who": who, "measured": name, "before": before.get(name), "after": after.get(name)}
            for name in sorted({*before, *after})
        ]
    if table:
        show_table("quality-before-and-after", table, "Quality, before and after")


@contextmanager
def showing_progress(
    key: str, description: str, before: int = 0, of: int | None = None
) -> Iterator[None]:
    """Keep a progress bar up to date with the work within, whatever of it is told last.

    Where the work is a part of more, `before` were done already, of so many.
    """

    def percent(done: int, total: int) -> float:
        whole = total if of is None else of
        return 100.0 * (before + done) / whole if whole else 100.0

    if not is_watched():
        yield
        return
    from prefect.artifacts import create_progress_artifact, update_progress_artifact

    begun = percent(0, 1)
    artifact = cast(
        UUID, create_progress_artifact(progress=begun, key=key, description=description)
    )

    def show(_what: str, done: int, total: int) -> None:
        update_progress_artifact(artifact, progress=percent(done, total))

    with listening(paced(show, PROGRESS_SECONDS)):
        yield


def version_line(workspace: Workspace, model: str, version: int) -> str:
    """Where a model version is to be seen: a link where MLflow is up, else its name."""
    name = f"models:/{model}/{version}"
    page = mlflow_page(workspace.root)
    if page is None:
        return f"In MLflow: `{name}`. `sift up` shows it there."
    return f"In MLflow: [{name}]({page}/#/models/{quote(model, safe='')}/versions/{version})"


def report_line(workspace: Workspace, request_id: str, registered: Registered | None) -> str:
    """Where a report is: its path, and a link to the copy beside the version it led to."""
    path = f"Report: `{workspace.reports / request_id / 'report.html'}`"
    page = mlflow_page(workspace.root)
    if registered is None or page is None:
        return path
    with workspace.lineage.reader() as reader:
        version = reader.model_version(registered.model, registered.version)
    experiment = workspace.mlflow.reading.experiment_id()
    folder = f"{page}/#/experiments/{experiment}/runs/{version.mlflow_run_id}"
    copy = f"{folder}/artifacts/opt-outs/{request_id}/report.html"
    model = version_line(workspace, version.name, version.version)
    return f"{path}. [Open it in MLflow]({copy})\n\n{model}"


def _margin(values: Sequence[float], scored: float) -> float:
    return Group(np.array(values), 1.0, scored).margin


def _picture(measure: Measure, values: Values, scored: float) -> str:
    """A PNG as a data URI: one row of dots for each weights and split."""
    from matplotlib.figure import Figure  # a second of imports that most runs do not need

    figure = Figure(figsize=(7.2, 0.42 * len(values) + 0.9), dpi=90, layout="constrained")
    axes = figure.subplots()
    for row, own in enumerate(values.values()):
        axes.plot(own, [row] * len(own), "o", color="#4a7ba6", alpha=0.35, markersize=6)
        if own:
            mean, margin = fmean(own), _margin(own, scored)
            axes.fill_betweenx(
                [row - 0.3, row + 0.3], mean - margin, mean + margin, color="#c0392b", alpha=0.2
            )
            axes.plot([mean] * 2, [row - 0.3, row + 0.3], color="#c0392b", linewidth=2)
    names = [f"{setting}, {_SPLIT_NAMES[split]}" for setting, split in values]
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel=measure.words)
    if measure.is_share:
        axes.set(xlim=(-0.02, 1.02))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
