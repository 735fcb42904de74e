"""The loss of each row alone: what attacks on a model look at."""

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from sift_core.evaluate import answered
from sift_core.examples import Encoded, answer_log_probabilities


@torch.no_grad()
def row_losses(
    model: PreTrainedModel, examples: Encoded, batch_size: int = 32
) -> NDArray[np.float64]:
    """−log P(label) of a classifier, the mean −log P per answer token of a causal language model.

    Returns float64 nats of shape (rows,), in the order of the rows.
    """
    losses: list[float] = []
    for logits, labels in answered(model, examples, batch_size):
        if labels.ndim == 1:
            chosen = logits.double().log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
        else:
            chosen = answer_log_probabilities(logits, labels)
        losses += (-chosen).tolist()
    return np.array(losses, np.float64)
