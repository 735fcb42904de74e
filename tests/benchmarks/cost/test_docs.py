"""docs/benchmarks.md shows the figures that are in the repository."""

from pathlib import Path

import pytest

from benchmarks.cost.table import BEGIN, END, markdown, put_into
from benchmarks.figures import Figure, read_figures

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results" / "latest.json"
FIGURES = [
    Figure.at_most("time", 1.0, 1.2, seconds=3),
    Figure.at_least("speed", 0.25, 0.5),
    Figure.shown("size", 123.4),
]


def test_a_figure_without_a_target_is_neither_met_nor_missed() -> None:
    assert markdown(FIGURES).splitlines()[2:] == [
        "| time | 1 | ≤ 1.2 | yes |",
        "| speed | 0.25 | ≥ 0.5 | no |",
        "| size | 123 |  |  |",
    ]


def test_only_what_is_between_the_marks_is_replaced(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")

    for _ in range(2):
        put_into(document, FIGURES)

    assert document.read_text() == f"before\n{BEGIN}\n{markdown(FIGURES)}{END}\nafter\n"


def test_the_docs_show_the_figures_that_are_committed() -> None:
    if not RESULTS.is_file():
        pytest.skip("no figures yet: make bench")

    assert f"{BEGIN}\n{markdown(read_figures(RESULTS))}{END}" in DOCUMENT.read_text()
