"""What is measured of a model: of which weights, on which rows, and how. Each is listed once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from lineage.records import Metric, Setting, Split

SETTINGS: tuple[Setting, ...] = get_args(Setting)
SPLITS: tuple[Split, ...] = get_args(Split)
MARGIN = "_margin"
"""After the name of a mean: how far it may be off, as half of its 95 % interval."""


@dataclass(frozen=True)
class Measure:
    """How people read one metric."""

    words: str
    is_share: bool = True
    """From 0, the worst, to 1, the best; else from 1, the best, upwards."""


MEASURES: Mapping[Metric, Measure] = {
    "accuracy": Measure("accuracy"),
    "answer_probability": Measure("answer probability"),
    "next_token_accuracy": Measure("next-token accuracy"),
    "perplexity": Measure("perplexity", is_share=False),
}
"""In the order of tables."""


def by_weights(
    values: Mapping[str, float], statistic: str = ""
) -> Iterator[tuple[Setting, str, list[float | None]]]:
    """What was measured, as lines of a table: whose weights, in what, a value for each split.

    `values` are named `masked.held_out.accuracy`, with `statistic` such as `.mean` after it.
    """
    for metric, measure in MEASURES.items():
        for setting in SETTINGS:
            own = [values.get(f"{setting}.{split}.{metric}{statistic}") for split in SPLITS]
            if any(value is not None for value in own):
                yield setting, measure.words, own
