"""The command `python -m benchmarks.cost`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.cost.table import MARK, markdown, print_figures
from benchmarks.documents import put_between
from benchmarks.figures import read_figures, write_figures
from flows.cli.app import example
from flows.cli.render import print_json
from flows.telemetry import hush

ROOT = Path(__file__).parents[2]

app = typer.Typer(add_completion=False)


@app.command(epilog=example("python -m benchmarks.cost --only storage --json"))
def main(
    only: Annotated[
        list[str] | None,
        typer.Option(help="Measure this group of figures alone, such as removing; write no file."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Run the peers at T = 500, not on a line: an hour.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    docs: Annotated[
        bool,
        typer.Option(
            "--docs", help="Measure nothing: put --output into docs/explanation/benchmarks.md."
        ),
    ] = False,
    cache: Annotated[
        Path, typer.Option(help="Downloads and scratch files; its disk is measured.")
    ] = ROOT / ".bench",
    output: Annotated[Path, typer.Option(help="The file all figures are written to.")] = ROOT
    / "benchmarks/results/latest.json",
) -> None:
    """Measure what opting out, finetuning and keeping cost, each beside its target."""
    if docs:
        put_between(ROOT / "docs/explanation/benchmarks.md", MARK, markdown(read_figures(output)))
        return
    hush()
    from benchmarks.cost.groups import measure  # torch and transformers, not needed for --help

    figures = measure(cache, only, quick=not full)
    if not only:
        write_figures(output, figures)
    if json:
        print_json([figure.as_dict() for figure in figures])
    else:
        print_figures(figures, Console(highlight=False))


if __name__ == "__main__":
    app()
