"""Weights that are made when asked for are the weights that are written, bit for bit."""

from collections.abc import Mapping

import pytest
import torch

from sift_core import (
    Kind,
    LazilyServed,
    Mean,
    StoredMask,
    StoredState,
    masked_weights,
    members_weights,
    served_sha256,
    served_weights,
    weights_sha256,
)
from sift_core.errors import AlteredError, MismatchError
from tests.support.builders import GRID, SEED, SHAPES
from tests.support.damage import flip_a_byte
from tests.support.small_merge import BASES, KIND, MEMBERS, STATE

pytestmark = pytest.mark.usefixtures("block_size")


each_mean = pytest.mark.parametrize("mean", ["all", "counted"])


def whole(base: dict[str, torch.Tensor], mean: Mean) -> Mapping[str, torch.Tensor]:
    """The definition's."""
    return served_weights(base, STATE, 3) if mean == "all" else members_weights(base, STATE)


@each_mean
def test_they_are_the_served_weights(
    base: dict[str, torch.Tensor], state: StoredState, mean: Mean
) -> None:
    lazily = LazilyServed(KIND, state, base, mean)
    assert weights_sha256(lazily) == weights_sha256(whole(base, mean))
    assert weights_sha256(lazily) == served_sha256(KIND, state, base, [mean])[mean]


@each_mean
def test_under_a_mask_they_are_the_masked_weights(
    base: dict[str, torch.Tensor], state: StoredState, mask: StoredMask, mean: Mean
) -> None:
    expected = masked_weights(base, whole(base, mean), MEMBERS[0].mask)
    lazily = LazilyServed(KIND, state, base, mean).masked(mask)
    assert weights_sha256(lazily) == weights_sha256(expected)
    assert weights_sha256(lazily) == served_sha256(KIND, state, base, [mean], mask)[mean]


def test_of_an_altered_file_nothing_is_served(
    base: dict[str, torch.Tensor], state: StoredState, mask: StoredMask
) -> None:
    lazily = LazilyServed(KIND, state, base)
    for path in (mask.path, state.path):
        flip_a_byte(path)
    with pytest.raises(AlteredError, match="recorded"):
        lazily.masked(mask)
    with pytest.raises(AlteredError, match="recorded"):
        LazilyServed(KIND, state, base)


def test_a_state_of_other_parameters_is_refused(state: StoredState) -> None:
    with pytest.raises(MismatchError):
        LazilyServed(Kind({**SHAPES, "more": (2,)}, GRID, SEED), state, BASES["float32"])
