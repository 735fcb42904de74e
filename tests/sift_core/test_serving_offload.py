"""Weights that are made when asked for are the weights that are written, bit for bit."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sift_core import (
    Kind,
    LazilyServed,
    Mean,
    MergeState,
    StoredMask,
    StoredState,
    StoredWeights,
    masked_weights,
    members_file,
    members_weights,
    served_folder,
    served_sha256,
    served_weights,
    weights_sha256,
)
from sift_core import blocks as blocks_module
from sift_core.errors import AlteredError, CodecError, MismatchError
from tests.support.builders import GRID, SEED, SHAPES, base_weights, vector
from tests.support.on_disk import stored, stored_state

KIND = Kind(SHAPES, GRID, SEED)
MEMBERS = [vector(1), vector(2), vector(3)]
STATE = MergeState.rebuild(MEMBERS, SHAPES, GRID, SEED)
FROZEN = {"embedding": torch.arange(12, dtype=torch.float32).reshape(4, 3)}
BASES: dict[str, dict[str, torch.Tensor]] = {
    "float32": base_weights(),
    "bfloat16": {name: tensor.bfloat16() for name, tensor in base_weights().items()},
}


@pytest.fixture(params=[64, 1 << 18], ids=["small blocks", "one block"], autouse=True)
def _block_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "_ENTRIES", request.param)


@pytest.fixture(params=BASES)
def base(request: pytest.FixtureRequest) -> dict[str, torch.Tensor]:
    return BASES[request.param]


@pytest.fixture
def state(tmp_path: Path) -> StoredState:
    return stored_state(tmp_path, STATE, 3)


@pytest.fixture
def mask(tmp_path: Path) -> StoredMask:
    kept = stored(tmp_path, MEMBERS[0])
    return StoredMask(kept.mask, kept.mask_sha256)


def in_shards(folder: Path, weights: Mapping[str, torch.Tensor]) -> Path:
    folder.mkdir()
    every = {**weights, **FROZEN}
    names = sorted(every)
    for number, own in enumerate((names[::2], names[1::2])):
        path = folder / f"model-{number}.safetensors"
        save_file({name: every[name] for name in own}, path, metadata={"format": "pt"})
    return folder


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
    assert weights_sha256(lazily) == served_sha256(KIND, state, base, mean=mean)


@each_mean
def test_under_a_mask_they_are_the_masked_weights(
    base: dict[str, torch.Tensor], state: StoredState, mask: StoredMask, mean: Mean
) -> None:
    expected = masked_weights(base, whole(base, mean), MEMBERS[0].mask)
    lazily = LazilyServed(KIND, state, base, mean).masked(mask)
    assert weights_sha256(lazily) == weights_sha256(expected)
    assert weights_sha256(lazily) == served_sha256(KIND, state, base, mask, mean)


def test_the_file_of_the_members_weights_is_the_one_that_saving_them_gives(
    base: dict[str, torch.Tensor], state: StoredState, tmp_path: Path
) -> None:
    source = StoredWeights(in_shards(tmp_path / "base", base))
    sha256 = members_file(tmp_path / "members.safetensors", source, KIND, state)
    assert sha256 == weights_sha256(members_weights(base, STATE))
    found = load_file(tmp_path / "members.safetensors")
    assert sorted(found) == sorted(SHAPES) and weights_sha256(found) == sha256


def test_a_served_folder_is_the_bases_with_other_trained_tensors(
    base: dict[str, torch.Tensor], state: StoredState, mask: StoredMask, tmp_path: Path
) -> None:
    """The very files that saving those weights in the same shards would have given."""
    source = StoredWeights(in_shards(tmp_path / "base", base))
    served, shared = served_weights(base, STATE, 3), members_weights(base, STATE)
    for name, own, under, mean in (
        ("anyone", served, None, "all"),
        ("member", masked_weights(base, shared, MEMBERS[0].mask), mask, "counted"),
        ("the paper's", masked_weights(base, served, MEMBERS[0].mask), mask, "all"),
    ):
        expected = in_shards(tmp_path / f"saved for {name}", own)
        found = tmp_path / name
        sha256 = served_folder(found, source, KIND, state, under, mean)
        assert sha256 == weights_sha256(own)
        assert [path.name for path in sorted(found.iterdir())] == [p.name for p in source.files]
        for path in source.files:
            assert (found / path.name).read_bytes() == (expected / path.name).read_bytes()


def test_of_an_altered_file_nothing_is_served(
    base: dict[str, torch.Tensor], state: StoredState, mask: StoredMask, tmp_path: Path
) -> None:
    source = StoredWeights(in_shards(tmp_path / "base", base))
    lazily = LazilyServed(KIND, state, base)
    for path in (mask.path, state.path):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        with pytest.raises((AlteredError, CodecError), match=r"recorded|padding"):
            served_folder(tmp_path / "served", source, KIND, state, mask)
        assert list((tmp_path / "served").iterdir()) == []
    with pytest.raises(AlteredError, match="recorded"):
        lazily.masked(mask)
    with pytest.raises(AlteredError, match="recorded"):
        LazilyServed(KIND, state, base)


def test_a_base_of_other_parameters_or_precision_is_refused(
    state: StoredState, tmp_path: Path
) -> None:
    less = {name: t for name, t in BASES["float32"].items() if name != "layer.0.bias"}
    halves = {name: tensor.half() for name, tensor in BASES["float32"].items()}
    for number, other in enumerate((less, halves)):
        source = StoredWeights(in_shards(tmp_path / str(number), other))
        with pytest.raises(MismatchError, match="in float32 or bfloat16"):
            served_folder(tmp_path / "served", source, KIND, state)
    with pytest.raises(MismatchError):
        LazilyServed(Kind({**SHAPES, "more": (2,)}, GRID, SEED), state, BASES["float32"])
