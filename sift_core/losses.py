"""The loss of each record alone: what attacks on a model look at."""

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from sift_core.answers import answers
from sift_core.encoding import Encoded


def row_losses(
    model: PreTrainedModel, examples: Encoded, batch_size: int = 32
) -> NDArray[np.float64]:
    """−log P(label) of a classifier, the mean −log P per learned token of a causal language model.

    Returns float64 nats of shape (records,), in their order.
    """
    return np.array([answer.loss for answer in answers(model, examples, batch_size)], np.float64)
