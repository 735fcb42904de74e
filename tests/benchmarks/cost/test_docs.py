"""docs/explanation/benchmarks.md shows the figures that are in the repository."""

import pytest

from benchmarks.cost.table import MARK, markdown
from benchmarks.documents import marked
from benchmarks.figures import Figure, read_figures
from tests.support.paths import ROOT

DOCUMENT = ROOT / "docs/explanation/benchmarks.md"
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


def test_the_docs_show_the_figures_that_are_committed() -> None:
    if not RESULTS.is_file():
        pytest.skip("no figures yet: make bench")

    assert marked(MARK, markdown(read_figures(RESULTS))) in DOCUMENT.read_text()
