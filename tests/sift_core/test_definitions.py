"""The merge state is a group: what is removed was never there, to the byte."""

import json
from random import Random

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from sift_core import Grid, MergeState, TaskVector, served_weights, weights_sha256
from sift_core.errors import CodecError, GridOverflowError, MismatchError
from sift_core.fixed_point import LARGEST_SUM
from tests.support.builders import GRID, SEED, SHAPES, base_weights, state_of, vector, vectors

BASE = base_weights()


def rebuild(members: list[TaskVector]) -> MergeState:
    return MergeState.rebuild(members, SHAPES, GRID, SEED)


def empty() -> MergeState:
    return MergeState.zero(SHAPES, GRID, SEED)


def served(state: MergeState, members: int) -> str:
    return weights_sha256(served_weights(BASE, state, members))


@given(vectors(), st.randoms(use_true_random=False))
def test_order_does_not_matter(members: list[TaskVector], random: Random) -> None:
    shuffled = random.sample(members, len(members))
    assert rebuild(shuffled).to_bytes() == rebuild(members).to_bytes()


@given(vectors(), st.data())
def test_grouping_does_not_matter(members: list[TaskVector], data: st.DataObject) -> None:
    shard_of = [data.draw(st.integers(0, 3)) for _ in members]
    shards = [
        rebuild([member for member, at in zip(members, shard_of, strict=True) if at == shard])
        for shard in range(4)
    ]
    sums = {name: np.sum([shard.sums[name] for shard in shards], axis=0) for name in SHAPES}
    counts = {
        name: np.sum([shard.counts[name] for shard in shards], axis=0, dtype=np.uint32)
        for name in SHAPES
    }
    assert MergeState(sums, counts, GRID, SEED).to_bytes() == rebuild(members).to_bytes()


@given(vectors(), st.data())
def test_any_order_of_additions_and_removals_ends_in_a_fresh_build_of_the_rest(
    members: list[TaskVector], data: st.DataObject
) -> None:
    leaves = [data.draw(st.booleans()) for _ in members]
    come = list(enumerate(members))
    events = [*come, *(one for one, gone in zip(come, leaves, strict=True) if gone)]
    state, there = empty(), set[int]()
    for number, member in data.draw(st.permutations(events)):  # the second of one is its leaving
        state = state.subtract(member) if number in there else state.add(member)
        there ^= {number}
    rest = [member for member, gone in zip(members, leaves, strict=True) if not gone]
    fresh = rebuild(rest)
    assert state.to_bytes() == fresh.to_bytes()
    assert served(state, len(rest)) == served(fresh, len(rest))


def test_each_of_twelve_members_can_leave_as_if_never_there() -> None:
    members = [vector(number) for number in range(12)]
    everyone = rebuild(members)
    for gone in range(12):
        rest = members[:gone] + members[gone + 1 :]
        assert everyone.subtract(members[gone]).to_bytes() == rebuild(rest).to_bytes()


def test_all_members_leaving_leaves_the_empty_merge() -> None:
    members = [vector(number) for number in range(12)]
    state = rebuild(members)
    for member in members:
        state = state.subtract(member)
    assert state.to_bytes() == empty().to_bytes()


def test_add_and_subtract_leave_their_operand_alone() -> None:
    state = rebuild([vector(1)])
    before = state.to_bytes()
    state.add(vector(2))
    state.subtract(vector(1))
    assert state.to_bytes() == before


def test_accumulate_is_add_in_place() -> None:
    state = rebuild([vector(1)])
    assert state.accumulate(vector(2)) is state
    assert state.to_bytes() == rebuild([vector(1), vector(2)]).to_bytes()
    assert state.accumulate(vector(2), -1).to_bytes() == rebuild([vector(1)]).to_bytes()


def test_rebuild_streams_its_vectors() -> None:
    stream = MergeState.rebuild((vector(n) for n in range(3)), SHAPES, GRID, SEED)
    assert stream.to_bytes() == rebuild([vector(n) for n in range(3)]).to_bytes()


@given(vectors())
def test_a_state_round_trips_and_can_go_on(members: list[TaskVector]) -> None:
    state = rebuild(members[:-1])
    again = MergeState.from_bytes(state.to_bytes())
    assert again.grid == GRID and again.sign_seed == SEED
    assert {name: sums.shape for name, sums in again.sums.items()} == SHAPES
    assert again.add(members[-1]).to_bytes() == rebuild(members).to_bytes()
    assert again.accumulate(members[-1]).to_bytes() == rebuild(members).to_bytes()


def test_sums_are_the_exact_integers() -> None:
    members = [vector(number, density=1.0) for number in range(12)]
    state = rebuild(members)
    for name in SHAPES:
        terms = [dict(member.integers())[name].reshape(-1).tolist() for member in members]
        assert state.sums[name].reshape(-1).tolist() == [
            sum(row) for row in zip(*terms, strict=True)
        ]


@pytest.mark.parametrize("edge", [LARGEST_SUM, -LARGEST_SUM])
def test_a_sum_that_leaves_the_range_raises_instead_of_wrapping(edge: int) -> None:
    one = vector(1, density=1.0)
    sums = {name: np.full(shape, edge, np.int64) for name, shape in SHAPES.items()}
    state = state_of(sums, count=2)
    with pytest.raises(GridOverflowError, match=r"fewer grid bits"):
        state.add(one)
    with pytest.raises(GridOverflowError):
        state.subtract(one)


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), LARGEST_SUM + 1, -LARGEST_SUM - 1])
def test_a_file_out_of_range_is_refused(value: int) -> None:
    with pytest.raises(GridOverflowError):
        MergeState.from_bytes(by_hand(np.array([value], np.int64)))


def test_a_file_with_floats_is_refused() -> None:
    with pytest.raises(CodecError, match="'p' is float64 and uint8"):
        MergeState.from_bytes(by_hand(np.ones(1)))


def by_hand(sums: np.ndarray) -> bytes:
    """A file of one entry, whatever it is."""
    counts = np.array([1, 0, 0, 0, 0, 0, 0, 0], np.uint8)
    about = {"format": "merge/2", "grid_bits": 24, "shapes": {"p": [1]}, "sign_seed": SEED}
    return safetensors.numpy.save(
        {"p[0:1].S": sums, "p[0:1].C": counts}, {"sift": json.dumps(about)}
    )


def test_a_vector_of_another_grid_or_seed_is_refused() -> None:
    for stranger in (vector(1, grid=Grid(25)), vector(1, seed=SEED + 1)):
        for change in (empty().add, empty().subtract):
            with pytest.raises(MismatchError, match="fixed for a workspace"):
                change(stranger)


def test_a_vector_of_another_model_is_refused() -> None:
    shapes = {**SHAPES, "layer.0.bias": (8,)}
    with pytest.raises(MismatchError, match=r"1 parameters, first 'layer\.0\.bias'"):
        MergeState.zero(shapes, GRID, SEED).add(vector(1))
    with pytest.raises(MismatchError, match="'more'"):
        MergeState.zero({**SHAPES, "more": (1,)}, GRID, SEED).add(vector(1))
