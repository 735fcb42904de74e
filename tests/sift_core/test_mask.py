"""A mask file is one bit per entry and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sift_core import Mask
from sift_core.canonical import encode
from sift_core.errors import CodecError
from tests.support.builders import vector

SHAPE = npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=11)


@given(st.dictionaries(st.text(min_size=1, max_size=9), npst.arrays(np.bool_, SHAPE), max_size=4))
def test_a_mask_of_any_density_round_trips(bits: dict[str, np.ndarray]) -> None:
    mask = Mask(bits, sign_seed=3)
    again = Mask.from_bytes(mask.to_bytes())
    assert again.shapes == mask.shapes and again.sign_seed == 3
    for name, chosen in bits.items():
        assert np.array_equal(again.bits[name], chosen) and again.bits[name].dtype == np.bool_
    assert again.sha256 == mask.sha256 == Mask.recorded(mask.to_bytes()).sha256


@pytest.mark.parametrize("density", [0.0, 1.0])
def test_empty_and_full_masks_count_right(density: float) -> None:
    mask = vector(1, density).mask
    assert mask.nonzero == density * mask.entries
    assert Mask.from_bytes(mask.to_bytes()).nonzero == mask.nonzero


@pytest.mark.parametrize("bit", [5, 6, 7])
def test_a_set_padding_bit_is_refused(bit: int) -> None:
    about = {"shapes": {"p": [5]}, "sign_seed": 3}
    assert Mask.from_bytes(encode("mask/1", {"p": np.array([0b10101], np.uint8)}, about))
    hidden = np.array([0b10101 | 1 << bit], np.uint8)
    with pytest.raises(CodecError, match="canonical"):
        Mask.from_bytes(encode("mask/1", {"p": hidden}, about))


@pytest.mark.parametrize(
    "shape",
    [[9], [7, 2], [], [0], [-8], [-1, -8], [8.0], ["8"], [None], 8, "8", [10**12], [10**40], [[8]]],
)
def test_a_shape_that_does_not_fit_the_bits_is_refused(shape: object) -> None:
    about = {"shapes": {"p": shape}, "sign_seed": 3}
    with pytest.raises(CodecError, match="mine is truncated or altered"):
        Mask.from_bytes(encode("mask/1", {"p": np.array([255], np.uint8)}, about), "mine")


def test_size_is_one_bit_per_entry() -> None:
    mask = Mask({"p": np.ones((1000, 800), np.bool_)}, 3)
    assert 100_000 <= len(mask.to_bytes()) < 100_500
