"""Every entry of a task vector is an exact integer multiple of 2^−bits."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sift_core import Grid
from sift_core.errors import GridOverflowError
from sift_core.fixed_point import LARGEST_INTEGER
from tests.support.builders import LARGEST_HALF

GRIDS = st.builds(Grid, st.integers(0, 60))
HALVES = st.integers(1, LARGEST_HALF).map(lambda bits: np.array([bits], np.uint16).view(np.float16))


@given(GRIDS, st.lists(st.floats(-65504, 65504), max_size=20))
def test_rounding_again_changes_nothing(grid: Grid, units: list[float]) -> None:
    values = np.ldexp(np.array(units, np.float64), 24 - grid.bits)
    once = grid.round(values, "p")
    again = grid.round(np.multiply(grid.integers(once), grid.scale()), "p")
    assert once.dtype == again.dtype == np.float16
    assert np.array_equal(once, again)


@given(GRIDS, HALVES)
def test_a_stored_magnitude_is_exactly_its_integer(grid: Grid, stored: np.ndarray) -> None:
    (integer,) = grid.integers(stored)
    assert Fraction(float(stored[0])) == Fraction(int(integer), 2**24)
    assert Fraction(int(integer)) * Fraction(grid.scale()) == Fraction(int(integer), 2**grid.bits)
    assert 0 < integer <= LARGEST_INTEGER < 2**40


@given(GRIDS, st.floats(0, 65504))
def test_rounding_goes_to_the_nearest_magnitude(grid: Grid, units: float) -> None:
    found = grid.round(np.ldexp(np.array([units]), 24 - grid.bits), "p")
    number = int(found.view(np.uint16)[0])  # neighbours of a float16 ≥ 0 are neighbours as bits
    near = np.arange(max(number - 1, 0), min(number + 1, LARGEST_HALF) + 1).astype(np.uint16)
    assert abs(float(found[0]) - units) == np.abs(near.view(np.float16).astype(float) - units).min()


def test_ties_go_to_even() -> None:
    ties = np.array([1 + 2.0**-11, 1 + 3 * 2.0**-11, 2.0**-25, 3 * 2.0**-25])
    assert Grid(24).round(ties, "p").tolist() == [1.0, 1 + 2.0**-9, 0.0, 2.0**-23]


@pytest.mark.parametrize("value", [65520.0, -65520.0, 1e300, np.inf, np.nan])
def test_beyond_the_grid_is_an_error_and_names_the_parameter(value: float) -> None:
    with pytest.raises(GridOverflowError, match=r"layer\.weight.*65504.*lower the learning rate"):
        Grid(24).round(np.array([0.5, value]), "layer.weight")


@pytest.mark.parametrize("bits", [0, 24, 34, 60])
def test_the_grid_ends_where_float16_rounds_to_infinity(bits: int) -> None:
    grid, unit = Grid(bits), 2.0 ** (24 - bits)
    beyond = 65520 * unit  # halfway between 65504 and the next there would be: ties to even
    last = np.nextafter(beyond, 0)
    assert grid.round(np.array([last, -last]), "p").tolist() == [65504, -65504]
    with pytest.raises(GridOverflowError):
        grid.round(np.array([beyond]), "p")


def test_a_finer_grid_holds_less() -> None:
    assert Grid(34).round(np.array([2.0**-34]), "p").tolist() == [2.0**-24]
    with pytest.raises(GridOverflowError):
        Grid(34).round(np.array([64.0]), "p")
