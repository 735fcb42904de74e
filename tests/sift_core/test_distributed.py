"""One finetuning in two processes: exact, repeatable, and its errors come back."""

import os
from dataclasses import replace

import pytest
import torch

from sift_core import (
    BaseModel,
    Chat,
    Encoded,
    FinetuneSettings,
    Grid,
    Reading,
    SignVector,
    encode_examples,
    finetune,
)
from sift_core.distributed import in_processes, require_same_everywhere
from sift_core.errors import NonFiniteError, ReplicaError

SIGNS, GRID = SignVector(4), Grid(24)
SETTINGS = FinetuneSettings(learning_rate=1e-2, steps=3)

pytestmark = pytest.mark.slow
"""Every process imports all of torch and transformers."""


def test_two_processes_end_in_one_vector_that_repeats_and_is_near_that_of_one(
    classifier: BaseModel, reviews: Encoded
) -> None:
    """`TaskVector.between` refuses entries against the signs, `_share` replicas that differ."""
    two = replace(SETTINGS, processes=2)
    found = finetune(classifier, reviews, SIGNS, GRID, two)
    assert finetune(classifier, reviews, SIGNS, GRID, two).vector.to_bytes() == (
        found.vector.to_bytes()
    )
    assert found.vector.mask.nonzero > 0
    mixed = replace(two, precision="bf16", gradient_checkpointing=True)
    other = finetune(classifier, reviews, SIGNS, GRID, mixed)
    assert other.vector.to_bytes() != found.vector.to_bytes()
    assert other.losses == pytest.approx(found.losses, abs=0.05)


def test_of_an_even_batch_each_sees_half_and_the_loss_is_that_of_all(
    causal: BaseModel,
) -> None:
    rows = [Chat.of(f"what is the {word} ?", word) for word in ("film", "book", "food", "place")]
    examples = encode_examples(rows, causal.tokenizer, (), Reading(32))
    one = finetune(causal, examples, SIGNS, GRID, SETTINGS)
    two = finetune(causal, examples, SIGNS, GRID, replace(SETTINGS, processes=2))
    assert two.losses == pytest.approx(one.losses, abs=1e-3)


def test_an_error_of_a_process_is_raised_here(classifier: BaseModel, reviews: Encoded) -> None:
    with pytest.raises(NonFiniteError, match=r"loss is nan.*learning_rate"):
        finetune(classifier, reviews, SIGNS, GRID, FinetuneSettings(1e30, steps=4, processes=2))


def _dies() -> None:
    os._exit(3)


def _disagrees() -> None:
    torch.distributed.init_process_group("gloo")
    require_same_everywhere(os.environ["RANK"])


def test_processes_that_die_or_disagree_are_an_error() -> None:
    with pytest.raises(ReplicaError, match="None of 2 processes gave an answer"):
        in_processes(2, "cpu", _dies)
    with pytest.raises(ReplicaError, match="2 of 2 processes ended with other weights"):
        in_processes(2, "cpu", _disagrees)
