"""`python -m benchmarks.fidelity NAME`: run an experiment, or print again what it found."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.documents import put_between
from benchmarks.fidelity import exactness, plots, settings, tables
from benchmarks.fidelity.finetunings import KINDS, Finetunings
from benchmarks.fidelity.methods import CENTRAL, METHODS, needed
from benchmarks.fidelity.population import load_population
from benchmarks.fidelity.scoring import Scores, rounds
from benchmarks.fidelity.settings import Experiment
from flows.errors import FlowError, UsageError

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "fidelity"
DOCUMENT = ROOT / "docs/explanation/fidelity.md"
IMAGES = ROOT / "docs/images"

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
_out = Console()

Data = Annotated[
    Path | None, typer.Option(help="Rows in our JSON Lines form; else those of the experiment.")
]
Cache = Annotated[Path, typer.Option(help="Where models and finetunings are kept.")]
Results = Annotated[Path, typer.Option(help="Where tables and plots are written.")]


@app.command(epilog="Example: python -m benchmarks.fidelity git_commits")
def run(
    experiment: Annotated[str, typer.Argument(help="A name in benchmarks/fidelity.yaml.")],
    data: Data = None,
    cache: Cache = Path(".bench"),
    results: Results = RESULTS,
    images: Annotated[Path, typer.Option(help="Where plots go.")] = IMAGES,
    settings_file: Annotated[Path, typer.Option(help="Another fidelity.yaml.")] = settings.SETTINGS,
    tables_only: Annotated[
        bool,
        typer.Option("--tables", help="Score nothing more: tables and plots of what there is."),
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(help=f"Score this one method, such as '{CENTRAL}'; the others' rows stay."),
    ] = None,
) -> None:
    """Finetune, merge by every method, score, let contributors leave; tables and plots.

    Run again after an interruption, it goes on where it stopped.
    """
    if only is not None and only not in METHODS:
        raise UsageError(f"There is no method {only!r}.", remedy=f"one of: {', '.join(METHODS)}.")
    chosen = settings.load(experiment, settings_file)
    folder = cache / experiment
    folder.mkdir(parents=True, exist_ok=True)
    with Progress(console=_out) as progress:
        population = load_population(chosen, data or Path(chosen.data), folder)
        kept = Finetunings(folder, population, chosen)
        for _ in progress.track(
            kept.alone(KINDS if only is None else needed(only)),
            total=len(population.names),
            description="Finetuning",
        ):
            pass
        scores = Scores(kept)
        missing = [] if tables_only else scores.missing(only)
        task = progress.add_task("Scoring", total=len(missing))
        for method, moment in missing:
            left = f", {moment.left} left" if moment.left else ""
            progress.update(task, description=f"{method}, T = {moment.size}{left}")
            scores.score(method, moment)
            progress.advance(task)
    target = results / experiment
    summary = tables.summarize(scores.rows, population.names, rounds(chosen))
    if only is None:
        removals = tables.removals(exactness.compare(kept, rounds(chosen)))
    else:
        summary = tables.with_published(summary[summary.method == only], target / "scores.csv")
        removals = pd.read_csv(target / "removals.csv")
    _write(experiment, summary, removals, target)
    _draw(experiment, chosen, summary, images)
    _show(chosen, summary, removals)


def _write(name: str, summary: pd.DataFrame, removals: pd.DataFrame, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    summary.round(6).to_csv(folder / "scores.csv", index=False)
    removals.to_csv(folder / "removals.csv", index=False)
    text = tables.page(summary, removals)
    (folder / "tables.md").write_text(text, encoding="utf-8")
    put_between(DOCUMENT, f"fidelity: {name}", text)


def _draw(name: str, experiment: Experiment, summary: pd.DataFrame, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f"fidelity-{name.replace('_', '-')}"
    plots.growing(summary, experiment.title, folder / f"{prefix}-quality.png")
    plots.shrinking(summary, experiment.title, folder / f"{prefix}-opt-outs.png")


def _show(experiment: Experiment, summary: pd.DataFrame, removals: pd.DataFrame) -> None:
    for measure, own in tables.by_metric(summary):
        for (split, aggregate), heading in tables.AGGREGATES.items():
            _print(heading.format(metric=measure.words), tables.growing(own, split, aggregate))
        for split, name in tables.SPLITS.items():
            title = f"{name} {measure.words}, mean, after opt-outs"
            _print(title, tables.shrinking(own, split))
    _print("What is left of who opted out", removals.set_index("removal"))
    if not experiment.central_after_departures:
        _out.print(f"{CENTRAL} was not run again after opt-outs: `central_after_departures`.")


def _print(title: str, frame: pd.DataFrame) -> None:
    table = Table(title=title, title_justify="left")
    for column in (str(frame.index.name), *map(str, frame.columns)):
        table.add_column(column)
    for name, values in zip(frame.index, frame.to_numpy().tolist(), strict=True):
        table.add_row(str(name), *(f"{v:.3f}" if isinstance(v, float) else str(v) for v in values))
    _out.print(table)


def main() -> None:
    """Errors of ours in one line with their remedy, exit code as they say."""
    try:
        app()
    except FlowError as error:
        _out.print(f"[red]{error}[/red]")
        raise SystemExit(error.exit_code) from error


if __name__ == "__main__":
    main()
