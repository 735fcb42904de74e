"""Whatever way integers are summed, and whatever type carries them, the same bits come out."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sift_core import Kind, Mask, MergeState, SignVector, TaskVector, update_state
from sift_core.errors import GridOverflowError
from sift_core.fixed_point import INTEGER_OF, LARGEST_INTEGER, LARGEST_MAGNITUDE, LARGEST_SUM
from tests.support.builders import GRID, SEED, SHAPES, any_vector, state_of, vectors
from tests.support.on_disk import in_one_folder, stored, stored_state

KIND = Kind(SHAPES, GRID, SEED)
MODULUS = 2**64
Both = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


def by_objects(members: list[TaskVector], _: Path) -> Both:
    state = MergeState.rebuild(members, SHAPES, GRID, SEED)
    return state.sums, state.counts


def by_float64(members: list[TaskVector], _: Path) -> Both:
    """In values, not integers: exact, for a float64 has 53 bits and the grid is fixed."""
    sums = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    counts = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    for member in members:
        for name, bits in member.mask.bits.items():
            values = np.zeros(bits.shape)
            values[bits] = member.magnitudes[name].astype(np.float64)
            sums[name] += np.where(SignVector(SEED).positive(name, bits.shape), values, -values)
            counts[name] += bits
    return (
        {name: np.ldexp(total, GRID.bits).astype(np.int64) for name, total in sums.items()},
        {name: total.astype(np.uint32) for name, total in counts.items()},
    )


def by_python(members: list[TaskVector], _: Path) -> Both:
    """In integers without a size."""
    sums = {name: [0] * int(np.prod(shape)) for name, shape in SHAPES.items()}
    counts = {name: [0] * int(np.prod(shape)) for name, shape in SHAPES.items()}
    for member in members:
        for name, integers in member.integers():
            flat = integers.reshape(-1).tolist()
            sums[name] = [total + one for total, one in zip(sums[name], flat, strict=True)]
            counts[name] = [
                total + (one != 0) for total, one in zip(counts[name], flat, strict=True)
            ]
    return (
        {name: np.array(sums[name], np.int64).reshape(SHAPES[name]) for name in SHAPES},
        {name: np.array(counts[name], np.uint32).reshape(SHAPES[name]) for name in SHAPES},
    )


def by_shards(members: list[TaskVector], _: Path) -> Both:
    """As several machines would: each sums its own, then the sums are summed."""
    shards = [MergeState.rebuild(members[n::3], SHAPES, GRID, SEED) for n in range(3)]
    return (
        {name: np.asarray(sum(shard.sums[name] for shard in shards)) for name in SHAPES},
        {name: np.asarray(sum(shard.counts[name] for shard in shards)) for name in SHAPES},
    )


def by_files(members: list[TaskVector], folder: Path) -> Both:
    files = [stored(folder, member) for member in members]
    written = update_state(KIND, None, files, [], 0, folder)
    state = MergeState.from_bytes(written.path.read_bytes())
    return state.sums, state.counts


@pytest.mark.parametrize("path", [by_float64, by_python, by_shards, by_files])
@in_one_folder
@given(vectors(most=6), st.randoms(use_true_random=False))
def test_every_path_and_order_gives_the_same_file(
    tmp_path: Path,
    path: Callable[[list[TaskVector], Path], Both],
    members: list[TaskVector],
    random: Random,
) -> None:
    shuffled = random.sample(members, len(members))
    found = MergeState(*path(shuffled, tmp_path), GRID, SEED).to_bytes()
    assert found == MergeState(*by_objects(members, tmp_path), GRID, SEED).to_bytes()


def test_every_magnitude_is_the_same_integer_on_every_path() -> None:
    bits = np.arange(LARGEST_MAGNITUDE + 1, dtype=np.uint16)
    halves = bits.view(np.float16)
    looked_up = INTEGER_OF[bits]
    assert looked_up.dtype == np.int64 and looked_up[-1] == LARGEST_INTEGER
    assert np.array_equal(looked_up, GRID.integers(halves))
    for integer, half in zip(looked_up.tolist(), halves.tolist(), strict=True):
        assert Fraction(half) * 2**24 == integer


@in_one_folder
@given(any_vector())
def test_a_vector_file_of_any_shape_and_density_reads_the_same_in_blocks(
    tmp_path: Path, one: TaskVector
) -> None:
    kind = Kind(one.mask.shapes, GRID, SEED)
    file = stored(tmp_path, one)
    empty = MergeState.zero(kind.shapes, GRID, SEED)
    added = update_state(kind, stored_state(tmp_path, empty, 0), [file], [], 0, tmp_path / "merge")
    assert added.path.read_bytes() == empty.add(one).to_bytes()
    assert added.digest == one.linear_digest(0)
    back = update_state(
        kind, stored_state(tmp_path, empty.add(one), 1), [], [file], 0, tmp_path / "merge"
    )
    assert back.path.read_bytes() == empty.to_bytes()
    assert back.digest == (0, 0)


@pytest.mark.parametrize("direction", [1, -1])
def test_an_object_reaches_the_bound_and_not_one_beyond(direction: int) -> None:
    bits = {"p": np.ones(100, np.bool_)}
    one = TaskVector(Mask(bits, SEED), {"p": np.full(100, 65504, np.float16)}, GRID)
    ((_, integers),) = one.integers()
    edge = np.sign(integers) * (LARGEST_SUM - LARGEST_INTEGER) * direction
    change = "add" if direction > 0 else "subtract"
    reached = getattr(state_of({"p": edge}, count=2), change)(one)
    assert set(np.abs(reached.sums["p"]).tolist()) == {LARGEST_SUM}
    with pytest.raises(GridOverflowError, match=r"leaves ±2\^62"):
        getattr(state_of({"p": edge + np.sign(edge)}, count=2), change)(one)
