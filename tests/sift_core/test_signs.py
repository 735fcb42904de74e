"""The sign vector is a pure function of seed, name and position."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sift_core import SignVector
from tests.support import plain_philox


@given(st.integers(0, 2**63), npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9))
def test_a_shape_is_only_a_view_of_the_same_bits(seed: int, shape: tuple[int, ...]) -> None:
    signs = SignVector(seed)
    found = signs.positive("p", shape)
    assert found.shape == shape and found.dtype == np.bool_
    assert np.array_equal(np.ravel(found), signs.positive("p", (found.size,)))


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_a_shorter_parameter_has_the_first_bits_of_a_longer_one(few: int, more: int) -> None:
    few, more = sorted((few, more))
    signs = SignVector(5)
    assert np.array_equal(signs.positive("p", (few,)), signs.positive("p", (more,))[:few])


@given(st.integers(0, 9), st.integers(0, 900), st.integers(0, 900))
def test_a_part_is_that_part_of_the_whole(first: int, count: int, more: int) -> None:
    signs, start = SignVector(5), first * 64
    whole = signs.positive("p", (start + count + more,))
    assert np.array_equal(signs.between("p", start, start + count), whole[start : start + count])


def test_bit_i_of_the_stream_is_entry_i() -> None:
    found = SignVector(5).positive("layer.0.weight", (10, 20)).reshape(-1)
    for entry in range(found.size):
        word = plain_philox.word("sign", 5, "layer.0.weight", entry // 64)
        assert bool(found[entry]) == bool(word >> entry % 64 & 1)


@pytest.mark.parametrize("seed", range(5))
def test_signs_are_balanced(seed: int) -> None:
    entries = 1 << 18
    positive = np.count_nonzero(SignVector(seed).positive("p", (entries,)))
    assert abs(positive - entries / 2) < 5 * np.sqrt(entries) / 2  # five standard deviations


def test_names_and_seeds_give_unrelated_signs() -> None:
    one = SignVector(1).positive("p", (1 << 16,))
    for other in (SignVector(2).positive("p", one.shape), SignVector(1).positive("q", one.shape)):
        assert 0.48 < np.mean(one == other) < 0.52


def test_drawing_one_parameter_does_not_move_another() -> None:
    signs = SignVector(1)
    before = signs.positive("p", (99,))
    signs.positive("q", (12345,))
    np.random.default_rng().random(5)
    assert np.array_equal(signs.positive("p", (99,)), before)
