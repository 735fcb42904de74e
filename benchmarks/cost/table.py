"""Figures as a table: in the terminal, and in Markdown for the docs."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure

NOT_MEASURED = (
    "Not measured, for want of a GPU: sign-fixing on SmolLM2, several finetunings on one GPU."
)

MARK = "cost: python -m benchmarks.cost --docs"


def print_figures(figures: Sequence[Figure], console: Console) -> None:
    """Print a table; what was not measured stands below it."""
    table = Table(title="Cost", title_justify="left", header_style="bold", caption=NOT_MEASURED)
    table.caption_justify = "left"
    table.add_column("figure")
    for column in ("value", "target", "met"):
        table.add_column(column, justify="right")
    for figure in figures:
        table.add_row(figure.figure, _number(figure.value), _target(figure), _met(figure))
    console.print(table)


def markdown(figures: Sequence[Figure]) -> str:
    """The same table for a document."""
    lines = ["| figure | value | target | met |", "| --- | ---: | ---: | --- |"]
    lines += [
        f"| {figure.figure} | {_number(figure.value)} | {_target(figure)} | {_met(figure)} |"
        for figure in figures
    ]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _target(figure: Figure) -> str:
    return "" if figure.target == "none" else figure.target


def _met(figure: Figure) -> str:
    if figure.target == "none":
        return ""
    return "yes" if figure.met else "no"
