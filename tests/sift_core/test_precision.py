"""Mixed precision and checkpointing: chosen by setting, repeatable, and gone afterwards."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sift_core import BaseModel, Encoded, FinetuneSettings, Grid, SignVector, finetune
from sift_core.errors import GridOverflowError, ModelError, NonFiniteError
from sift_core.losses import row_losses
from sift_core.trainer import train

SIGNS, GRID = SignVector(4), Grid(24)
SETTINGS = FinetuneSettings(learning_rate=1e-2, steps=3)
MIXED = replace(SETTINGS, precision="bf16")
CHECKPOINTED = replace(SETTINGS, gradient_checkpointing=True)


def made(base: BaseModel, rows: Encoded, settings: FinetuneSettings) -> bytes:
    return finetune(base, rows, SIGNS, GRID, settings).vector.to_bytes()


def test_bf16_is_another_finetuning_and_repeats_to_the_bit_in_any_order(
    classifier: BaseModel, reviews: Encoded
) -> None:
    plain, mixed = made(classifier, reviews, SETTINGS), made(classifier, reviews, MIXED)
    assert plain != mixed
    assert made(classifier, reviews, MIXED) == mixed
    assert made(classifier, reviews, SETTINGS) == plain
    assert made(classifier, reviews, MIXED) == mixed


def test_a_checkpointed_finetuning_repeats_to_the_bit_and_moves_as_far(
    classifier: BaseModel, reviews: Encoded
) -> None:
    found = finetune(classifier, reviews, SIGNS, GRID, CHECKPOINTED)
    assert found.vector.to_bytes() == made(classifier, reviews, CHECKPOINTED)
    plain = finetune(classifier, reviews, SIGNS, GRID, SETTINGS)
    assert found.losses == pytest.approx(plain.losses, abs=1e-5)
    assert not classifier.model.is_activation_checkpointing


def test_products_are_in_bfloat16_while_weights_and_gradients_are_not(
    classifier: BaseModel, reviews: Encoded
) -> None:
    seen: set[torch.dtype] = set()
    linear = next(m for m in classifier.model.modules() if isinstance(m, nn.Linear))
    handle = linear.register_forward_hook(lambda _, __, out: seen.add(out.dtype))
    gradients: set[torch.dtype] = set()
    linear.weight.register_post_accumulate_grad_hook(
        lambda p: gradients.update({p.dtype, p.grad.dtype})
    )
    made(classifier, reviews, MIXED)
    handle.remove()
    assert (seen, gradients) == ({torch.bfloat16}, {torch.float32})


@pytest.mark.parametrize("settings", [MIXED, CHECKPOINTED, replace(MIXED, learning_rate=1e30)])
def test_the_model_is_scored_in_float32_afterwards(
    classifier: BaseModel, reviews: Encoded, settings: FinetuneSettings
) -> None:
    before = row_losses(classifier.model, reviews)
    with suppress(NonFiniteError, GridOverflowError):  # of the broken one
        made(classifier, reviews, settings)
    assert np.array_equal(row_losses(classifier.model, reviews), before)


def test_a_precision_that_is_not_obeyed_is_an_error(
    classifier: BaseModel, reviews: Encoded
) -> None:
    """Accelerate passes over a model that it takes to be prepared already, without a word."""
    classifier.model._is_accelerate_prepared = True
    optimizer = torch.optim.Adam(classifier.parameters().values(), lr=1e-3)
    with pytest.raises(ModelError, match="was not trained in bf16"):
        train(classifier.model, reviews, optimizer, 1, 3, 0, precision="bf16")
