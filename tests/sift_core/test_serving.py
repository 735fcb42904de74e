"""Served weights are one formula in one precision."""

import struct
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sift_core import (
    Grid,
    Mask,
    MergeState,
    TaskVector,
    masked_weights,
    members_weights,
    served_weights,
    weights_sha256,
)
from sift_core.errors import MismatchError
from sift_core.serving import where
from tests.support.builders import GRID, SEED, SHAPES, base_weights, state_of, vector, vectors

BASE = base_weights()


def by_hand(base: float, total: int, bits: int, members: int) -> float:
    """Exact fractions, rounded where the formula says: to float64 twice, then to float32."""
    mean = float(Fraction(float(total)) / 2**bits / members)
    weight = float(Fraction(base) + Fraction(mean))
    return float(struct.unpack("<f", struct.pack("<f", weight))[0])


@given(
    st.floats(-10, 10, width=32),
    st.integers(-(2**45), 2**45),
    st.integers(20, 40),
    st.integers(1, 10_000),
)
def test_a_weight_is_the_documented_formula(
    base: float, total: int, bits: int, members: int
) -> None:
    state = state_of({"p": np.array([total], np.int64)}, grid=Grid(bits))
    found = served_weights({"p": torch.tensor([base])}, state, members)["p"]
    assert found.dtype == torch.float32
    assert found.item() == by_hand(base, total, bits, members)


def test_a_whole_model_is_the_documented_formula() -> None:
    members = [vector(number) for number in range(7)]
    state = MergeState.rebuild(members, SHAPES, GRID, SEED)
    for name, found in served_weights(BASE, state, 7).items():
        flat = zip(BASE[name].reshape(-1).tolist(), state.sums[name].reshape(-1), strict=True)
        expected = [by_hand(base, int(total), 24, 7) for base, total in flat]
        assert found.reshape(-1).tolist() == expected
        assert tuple(found.shape) == SHAPES[name]


def test_members_weights_are_the_mean_over_those_who_moved_an_entry() -> None:
    members = [vector(number) for number in range(7)]
    state = MergeState.rebuild(members, SHAPES, GRID, SEED)
    for name, found in members_weights(BASE, state).items():
        own = [dict(member.integers())[name].reshape(-1).tolist() for member in members]
        moved = [[entry for entry in column if entry] for column in zip(*own, strict=True)]
        expected = [
            by_hand(base, sum(entries), 24, len(entries)) if entries else base
            for base, entries in zip(BASE[name].reshape(-1).tolist(), moved, strict=True)
        ]
        assert found.reshape(-1).tolist() == expected
        assert tuple(found.shape) == SHAPES[name]


def test_a_member_alone_is_served_their_own_finetuning() -> None:
    """Which the paper's form does as well; of two members, only the counted one."""
    one, other = vector(1), vector(2, density=0.02)
    alone = MergeState.rebuild([one], SHAPES, GRID, SEED)
    own = masked_weights(BASE, members_weights(BASE, alone), one.mask)
    assert weights_sha256(own) == weights_sha256(served_weights(BASE, alone, 1))
    both = MergeState.rebuild([one, other], SHAPES, GRID, SEED)
    counted = masked_weights(BASE, members_weights(BASE, both), one.mask)
    for name, bits in one.mask.bits.items():
        alone_moved = torch.from_numpy(np.asarray(bits & ~other.mask.bits[name]))
        assert torch.equal(counted[name][alone_moved], own[name][alone_moved])


def test_where_nobody_moved_an_entry_its_very_bits_are_served() -> None:
    base = {"p": torch.tensor([-0.0, 1.0])}
    state = state_of({"p": np.array([0, 5], np.int64)})
    assert members_weights(base, state)["p"].view(torch.int32)[0] == base["p"].view(torch.int32)[0]


@given(vectors(most=4), st.data())
def test_masked_weights_are_served_inside_the_mask_and_base_outside(
    members: list[TaskVector], data: st.DataObject
) -> None:
    state = MergeState.rebuild(members, SHAPES, GRID, SEED)
    served = served_weights(BASE, state, len(members))
    mask = data.draw(st.sampled_from(members)).mask
    masked = masked_weights(BASE, served, mask)
    for name, bits in mask.bits.items():
        inside = torch.from_numpy(bits)
        assert torch.equal(masked[name][inside], served[name][inside])
        assert torch.equal(masked[name][~inside], BASE[name][~inside])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 5)])
def test_where_is_torch_s_to_the_bit_of_any_float(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    random = np.random.default_rng(3)
    integers = torch.int32 if dtype == torch.float32 else torch.int16
    lowest, highest = torch.iinfo(integers).min, torch.iinfo(integers).max
    for _ in range(20):
        one, other = (  # any bits: infinities, NaN of every kind, both zeros
            torch.from_numpy(random.integers(lowest, highest, shape)).to(integers).view(dtype)
            for _ in range(2)
        )
        chosen = np.asarray(random.random(shape) < 0.5)
        wanted = torch.where(torch.from_numpy(chosen), one, other)
        found = where(chosen, one, other)
        assert found.dtype == dtype and found.shape == wanted.shape
        assert torch.equal(found.view(integers), wanted.view(integers))


def test_masking_after_the_mean_is_the_mean_of_the_masked_sum() -> None:
    members = [vector(number) for number in range(3)]
    state = MergeState.rebuild(members, SHAPES, GRID, SEED)
    mask = members[1].mask
    kept = {name: np.where(mask.bits[name], sums, 0) for name, sums in state.sums.items()}
    papers = served_weights(BASE, state_of(kept), 3)  # θ0 + (m ⊙ S)/T
    ours = masked_weights(BASE, served_weights(BASE, state, 3), mask)
    assert weights_sha256(ours) == weights_sha256(papers)


def test_without_members_the_base_model_is_served() -> None:
    empty = MergeState.zero(SHAPES, GRID, SEED)
    served = served_weights(BASE, empty, 0)
    assert weights_sha256(served) == weights_sha256(BASE)
    served["layer.0.bias"] += 1  # a copy: θ0 does not move
    assert weights_sha256(BASE) == weights_sha256(base_weights())


def test_one_member_serves_its_own_finetuned_weights_up_to_the_grid() -> None:
    one = vector(5, density=1.0, grid=Grid(40))
    state = MergeState.rebuild([one], SHAPES, Grid(40), SEED)
    served = served_weights(BASE, state, 1)
    for name, integers in one.integers():
        tau = torch.from_numpy(np.asarray(integers)).double() * 2.0**-40
        assert torch.equal(served[name], (BASE[name].double() + tau).float())


def test_another_set_of_parameters_is_refused() -> None:
    state = MergeState.zero(SHAPES, GRID, SEED)
    less = {name: tensor for name, tensor in BASE.items() if name != "layer.0.bias"}
    with pytest.raises(MismatchError, match=r"layer\.0\.bias"):
        served_weights(less, state, 1)
    with pytest.raises(MismatchError, match="base model that the workspace was built on"):
        masked_weights(less, less, vector(1).mask)
    with pytest.raises(MismatchError):
        masked_weights(BASE, BASE, Mask({}, SEED))


def test_the_weights_digest_sees_names_dtypes_shapes_and_bits() -> None:
    one = {"p": torch.zeros(4)}
    others = [
        {"q": torch.zeros(4)},
        {"p": torch.zeros(4, dtype=torch.int32)},
        {"p": torch.zeros(2, 2)},
        {"p": torch.tensor([0.0, -0.0, 0.0, 0.0])},
        {"p": torch.zeros(4), "empty": torch.zeros(0)},
    ]
    digests = {weights_sha256(weights) for weights in [one, *others]}
    assert len(digests) == 1 + len(others)


def test_the_weights_digest_ignores_order_and_memory_layout() -> None:
    tensor = torch.arange(12.0).reshape(3, 4)
    one = {"a": tensor, "b": torch.ones(())}
    other = {"b": torch.ones(()), "a": tensor.t().contiguous().t()}
    assert weights_sha256(one) == weights_sha256(other)
