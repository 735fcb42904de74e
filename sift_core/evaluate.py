"""How good a model is on one contributor's rows: one number per example, then their mean."""

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
    was_training = model.training
    model.eval()
    metric: Metric = "accuracy"
    scores: list[float] = []
    for batch in DataLoader(examples, batch_size=batch_size, collate_fn=examples.collate):
        batch = batch.to(model.device)
        labels = batch.pop("labels")
        logits = model(**batch).logits
        if labels.ndim == 1:
            scores += (logits.argmax(-1) == labels).double().tolist()
        else:
            metric = "answer_probability"
            scores += answer_log_probabilities(logits, labels).exp().tolist()
    model.train(was_training)
    return Score(metric, sum(scores) / len(scores), len(scores))
