"""How good a model is on one contributor's records, by the measures of what they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from transformers import PreTrainedModel

from sift_core.answers import Answer, answers
from sift_core.encoding import Encoded, Kind
from sift_core.errors import DataError

Metric = Literal["accuracy", "answer_probability", "next_token_accuracy", "perplexity"]


@dataclass(frozen=True)
class Score:
    """`metric` over `rows` records: a share or probability in [0, 1], or a perplexity from 1."""

    metric: Metric
    value: float
    rows: int


def evaluate(model: PreTrainedModel, examples: Encoded, batch_size: int = 32) -> list[Score]:
    """Score a model on each kind of record that is there.

    A class: accuracy. A chat: answer probability, P(answer | question)^(1/|answer|) over all tokens
    that are learned, the mean over records, as TOFU defines it (arXiv 2401.06121, §2.2.1). A text:
    next-token accuracy and perplexity, both over the tokens of all texts together. Raises DataError
    where there is nothing to score.
    """
    found = answers(model, examples, batch_size)
    if not found:
        raise DataError("There are no rows to score.", remedy="give this contributor more rows.")
    kinds: list[Kind] = sorted({answer.kind for answer in found})
    return [
        score for kind in kinds for score in _scores(kind, [a for a in found if a.kind == kind])
    ]


def _scores(kind: Kind, found: Sequence[Answer]) -> list[Score]:
    rows = len(found)
    if kind == "class":
        return [Score("accuracy", sum(answer.hits for answer in found) / rows, rows)]
    if kind == "chat":
        probabilities = [math.exp(-answer.loss) for answer in found]
        return [Score("answer_probability", sum(probabilities) / rows, rows)]
    tokens = sum(answer.tokens for answer in found)
    hits = sum(answer.hits for answer in found)
    loss = -sum(answer.log_probability for answer in found) / tokens
    return [
        Score("next_token_accuracy", hits / tokens, rows),
        Score("perplexity", math.exp(loss), rows),
    ]
