"""What is measured of a model: of which weights, on which rows, and how. Each is listed once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lineage.records import Metric

Setting = Literal["base", "merged", "masked"]
SETTINGS: tuple[Setting, ...] = ("base", "merged", "masked")
"""Whose weights: the base model's, those that anyone is served, those under the own mask."""
SPLITS: tuple[Literal["held_in", "held_out"], ...] = ("held_in", "held_out")
"""The rows that trained, and those that did not."""


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
