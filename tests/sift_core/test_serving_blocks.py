"""Weights served from a merge-state file are those served from a merge state, bit for bit."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sift_core import Kind, MergeState, TaskVector, served_from, served_weights, weights_sha256
from sift_core import blocks as blocks_module
from sift_core.errors import AlteredError, MismatchError
from tests.support.builders import GRID, SEED, SHAPES, base_weights, vector, vectors
from tests.support.on_disk import in_one_folder, stored_state

KIND = Kind(SHAPES, GRID, SEED)
BASE = base_weights()


def rebuild(members: Sequence[TaskVector]) -> MergeState:
    return MergeState.rebuild(members, SHAPES, GRID, SEED)


@in_one_folder
@given(vectors(most=4), st.sampled_from([64, 1 << 18]))
def test_served_from_a_file_is_served_from_the_object(
    tmp_path: Path, members: list[TaskVector], entries: int
) -> None:
    state = rebuild(members)
    expected = served_weights(BASE, state, len(members))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks_module, "_ENTRIES", entries)
        found = served_from(KIND, stored_state(tmp_path, state, len(members)), BASE)
    assert weights_sha256(found) == weights_sha256(expected)


def test_without_members_a_copy_of_the_base_is_served(tmp_path: Path) -> None:
    base = base_weights()
    state = stored_state(tmp_path, rebuild([]), 0)
    served = served_from(KIND, state, base)
    assert weights_sha256(served) == weights_sha256(BASE)
    served["layer.0.bias"] += 1
    assert weights_sha256(base) == weights_sha256(BASE)


def test_of_an_altered_state_nothing_is_served(tmp_path: Path) -> None:
    state = stored_state(tmp_path, rebuild([vector(1)]), 1)
    data = bytearray(state.path.read_bytes())
    data[-1] ^= 1
    state.path.write_bytes(data)
    with pytest.raises(AlteredError, match="lineage recorded"):
        served_from(KIND, state, BASE)


def test_another_base_is_refused(tmp_path: Path) -> None:
    state = stored_state(tmp_path, rebuild([vector(1)]), 1)
    less = {name: tensor for name, tensor in BASE.items() if name != "layer.0.bias"}
    shapes = {name: tuple(tensor.shape) for name, tensor in less.items()}
    with pytest.raises(MismatchError, match=r"layer\.0\.bias"):
        served_from(Kind(shapes, GRID, SEED), state, less)
