"""How good a model is on one contributor's rows: one number per example, then their mean."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch.utils.data import DataLoader
from transformers import PreTrainedModel

from sift_core.errors import DataError
from sift_core.examples import Encoded, answer_log_probabilities

Metric = Literal["accuracy", "answer_probability"]


@dataclass(frozen=True)
class Score:
    """The mean of `metric` over `rows` examples, in [0, 1]."""

    metric: Metric
    value: float
    rows: int


@torch.no_grad()
def evaluate(model: PreTrainedModel, examples: Encoded, batch_size: int = 32) -> Score:
    """Accuracy of a classifier, answer probability of a causal language model.

    Answer probability is P(answer | question)^(1/|answer|), the mean over examples, as TOFU
    defines it (arXiv 2401.06121, §2.2.1). Raises DataError where there is nothing to score.
    """
    if len(examples) == 0:
        raise DataError("There are no rows to score.", remedy="give this contributor more rows.")
    metric: Metric = "accuracy"
    scores: list[float] = []
    for logits, labels in answered(model, examples, batch_size):
        if labels.ndim == 1:
            scores += (logits.argmax(-1) == labels).double().tolist()
        else:
            metric = "answer_probability"
            scores += answer_log_probabilities(logits, labels).exp().tolist()
    return Score(metric, sum(scores) / len(scores), len(scores))


def answered(
    model: PreTrainedModel, examples: Encoded, batch_size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The logits and labels of every batch, in order, without dropout; call without gradients."""
    was_training = model.training
    model.eval()
    for batch in DataLoader(examples, batch_size=batch_size, collate_fn=examples.collate):
        if model.device.type != "meta":  # else the weights are on disk, and its modules move inputs
            batch = batch.to(model.device)
        labels = batch.pop("labels")
        logits = model(**batch).logits
        yield logits, labels.to(logits.device)
    model.train(was_training)
