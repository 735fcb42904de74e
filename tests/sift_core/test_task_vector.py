"""A task vector file is the definition of τ: sign-fixed, on the grid, exact."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sift_core import Grid, Mask, SignVector, TaskVector
from sift_core.canonical import encode
from sift_core.errors import CodecError, GridOverflowError, MismatchError, NonFiniteError
from tests.support.builders import (
    GRID,
    LARGEST_HALF,
    SEED,
    SHAPES,
    any_vector,
    base_weights,
    outward,
    vector,
    vectors,
)

SIGNS = SignVector(SEED)


@given(vectors(most=1))
def test_a_vector_of_any_density_round_trips(drawn: list[TaskVector]) -> None:
    (one,) = drawn
    again = TaskVector.from_bytes(one.to_bytes(), Mask.from_bytes(one.mask.to_bytes()))
    assert again.to_bytes() == one.to_bytes() and again.grid == one.grid
    for (name, ours), (other, theirs) in zip(one.integers(), again.integers(), strict=True):
        assert name == other and np.array_equal(ours, theirs) and ours.shape == SHAPES[name]


@given(any_vector())
def test_a_vector_of_any_shapes_round_trips(one: TaskVector) -> None:
    again = TaskVector.from_bytes(one.to_bytes(), Mask.from_bytes(one.mask.to_bytes()))
    assert again.to_bytes() == one.to_bytes() and again.mask.shapes == one.mask.shapes
    for name, values in one.magnitudes.items():
        assert np.array_equal(again.magnitudes[name], values)
        assert np.array_equal(again.mask.bits[name], one.mask.bits[name])


def test_every_finite_positive_half_round_trips() -> None:
    values = np.arange(1, LARGEST_HALF + 1, dtype=np.uint16).view(np.float16)
    one = TaskVector(Mask({"p": np.ones(values.size, np.bool_)}, SEED), {"p": values}, GRID)
    again = TaskVector.from_bytes(one.to_bytes(), one.mask)
    assert np.array_equal(again.magnitudes["p"], values)


@pytest.mark.parametrize("bad", [0.0, -0.0, -1.0, np.nan, np.inf, -np.inf, -(2.0**-24)])
def test_a_magnitude_that_is_not_finite_and_positive_is_refused(bad: float) -> None:
    one = vector(1)
    name = next(iter(SHAPES))
    one.magnitudes[name][0] = bad
    with pytest.raises(CodecError, match="finite and positive"):
        TaskVector.from_bytes(one.to_bytes(), one.mask)


@pytest.mark.parametrize("change", [-1, 1])
def test_more_or_fewer_magnitudes_than_set_bits_are_refused(change: int) -> None:
    one = vector(1)
    name = next(iter(SHAPES))
    one.magnitudes[name] = np.ones(one.magnitudes[name].size + change, np.float16)
    with pytest.raises(CodecError, match="float16 magnitudes"):
        TaskVector.from_bytes(one.to_bytes(), one.mask)


def test_the_vector_of_another_mask_is_refused() -> None:
    one, other = vector(1), vector(2)
    with pytest.raises(MismatchError, match=r"mine belongs to another mask.*dvc checkout"):
        TaskVector.from_bytes(one.to_bytes(), other.mask, "mine")
    reseeded = Mask(one.mask.bits, SEED + 1)  # same bits, other signs: another vector
    with pytest.raises(MismatchError):
        TaskVector.from_bytes(one.to_bytes(), reseeded)


def test_a_mask_sha_does_not_excuse_other_parameters() -> None:
    one = vector(1)
    about = {"grid_bits": 24, "mask_sha256": one.mask.sha256}
    with pytest.raises(CodecError, match="not those of its mask"):
        TaskVector.from_bytes(encode("vector/1", {}, about), one.mask)


def test_between_keeps_what_the_grid_can_say() -> None:
    base = base_weights()
    finetuned = outward(base, 0.01)
    found = TaskVector.between(base, finetuned, SIGNS, GRID)
    assert found.mask.nonzero == found.mask.entries == sum(t.numel() for t in base.values())
    for name, integers in found.integers():
        moved = finetuned[name].double() - base[name].double()
        stored = torch.from_numpy(np.asarray(integers)).double() * GRID.scale()
        assert torch.allclose(stored, moved, rtol=2.0**-11, atol=0)
        assert torch.equal(stored.sign(), moved.sign())


def test_what_rounds_to_zero_leaves_the_mask() -> None:
    base = {"p": torch.zeros(4, dtype=torch.float64)}
    by = torch.tensor([0.0, 2.0**-26, 2.0**-25, 2.0**-24], dtype=torch.float64)
    signs = torch.from_numpy(SIGNS.positive("p", (4,))).double() * 2 - 1
    found = TaskVector.between(base, {"p": by * signs}, SIGNS, GRID)
    assert found.mask.bits["p"].tolist() == [False, False, False, True]
    assert found.magnitudes["p"].tolist() == [2.0**-24]


def test_rounding_a_rounded_vector_changes_nothing() -> None:
    base = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in SHAPES.items()}
    one = vector(3)
    values = {
        name: torch.from_numpy(np.asarray(integers)).double() * GRID.scale()
        for name, integers in one.integers()
    }
    assert TaskVector.between(base, values, SIGNS, GRID).to_bytes() == one.to_bytes()


@given(st.integers(0, 2**32))
def test_integers_are_exactly_sign_times_magnitude(number: int) -> None:
    one = vector(number)
    for name, integers in one.integers():
        positive = SIGNS.positive(name, SHAPES[name])
        signed = np.ravel(np.where(positive, 1, -1)[one.mask.bits[name]])
        assert not integers[~one.mask.bits[name]].any()
        for sign, magnitude, integer in zip(
            signed, one.magnitudes[name], integers[one.mask.bits[name]], strict=True
        ):
            assert int(integer) == int(sign) * Fraction(float(magnitude)) * 2**24


def test_a_step_against_the_signs_is_refused() -> None:
    base = base_weights()
    against = outward(base, 0.01)
    against["layer.0.bias"][3] = base["layer.0.bias"][3] * 2 - against["layer.0.bias"][3]
    with pytest.raises(MismatchError, match=r"layer\.0\.bias.*1 entries against"):
        TaskVector.between(base, against, SIGNS, GRID)
    with pytest.raises(MismatchError):
        TaskVector.between(base, outward(base, 0.01), SignVector(SEED + 1), GRID)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_broken_weight_is_refused(value: float) -> None:
    base = base_weights()
    broken = outward(base, 0.01)
    broken["layer.0.bias"][3] = value
    with pytest.raises(NonFiniteError, match=r"layer\.0\.bias"):
        TaskVector.between(base, broken, SIGNS, GRID)


def test_a_step_beyond_the_grid_is_refused() -> None:
    base = base_weights()
    with pytest.raises(GridOverflowError):
        TaskVector.between(base, outward(base, 0.01), SIGNS, Grid(48))


def test_a_file_costs_sixteen_bits_per_set_bit() -> None:
    bits = np.zeros(80_000, np.bool_)
    bits[::4] = True
    one = TaskVector(Mask({"p": bits}, SEED), {"p": np.ones(20_000, np.float16)}, GRID)
    assert 40_000 <= len(one.to_bytes()) < 40_500
