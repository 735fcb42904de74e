"""Served weights reach files whole or not at all, in the bytes that saving them would give."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sift_core import (
    StoredMask,
    StoredState,
    StoredWeights,
    masked_weights,
    members_weights,
    model_folder,
    serve,
    served_weights,
    weights_file,
    weights_sha256,
)
from sift_core.errors import AlteredError, CodecError, MismatchError
from tests.support.builders import SHAPES
from tests.support.damage import flip_a_byte
from tests.support.small_merge import BASES, KIND, MEMBERS, STATE

FROZEN = {"embedding": torch.arange(12, dtype=torch.float32).reshape(4, 3)}


pytestmark = pytest.mark.usefixtures("block_size")


def in_shards(folder: Path, weights: Mapping[str, torch.Tensor]) -> Path:
    folder.mkdir()
    every = {**weights, **FROZEN}
    names = sorted(every)
    for number, own in enumerate((names[::2], names[1::2])):
        path = folder / f"model-{number}.safetensors"
        save_file({name: every[name] for name in own}, path, metadata={"format": "pt"})
    return folder


def test_the_file_of_the_members_weights_is_the_one_that_saving_them_gives(
    base: dict[str, torch.Tensor], state: StoredState, tmp_path: Path
) -> None:
    source = StoredWeights(in_shards(tmp_path / "base", base))
    with weights_file(tmp_path / "members.safetensors", source, KIND) as writer:
        serve(KIND, state, source, {"counted": writer})
    sha256 = writer.sha256
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
        with model_folder(found, source, KIND) as writer:
            serve(KIND, state, source, {mean: writer}, under)
        sha256 = writer.sha256
        assert sha256 == weights_sha256(own)
        assert [path.name for path in sorted(found.iterdir())] == [p.name for p in source.files]
        for path in source.files:
            assert (found / path.name).read_bytes() == (expected / path.name).read_bytes()


def test_one_pass_writes_what_anyone_is_served_and_what_members_are(
    base: dict[str, torch.Tensor], state: StoredState, tmp_path: Path
) -> None:
    source = StoredWeights(in_shards(tmp_path / "base", base))
    with (
        model_folder(tmp_path / "anyone", source, KIND) as anyone,
        weights_file(tmp_path / "members.safetensors", source, KIND) as members,
    ):
        serve(KIND, state, source, {"all": anyone, "counted": members})
    assert anyone.sha256 == weights_sha256(served_weights(base, STATE, 3))
    assert members.sha256 == weights_sha256(members_weights(base, STATE))
    written = StoredWeights(tmp_path / "anyone").only(SHAPES)
    assert weights_sha256(written) == anyone.sha256


def test_of_an_altered_file_nothing_is_served(
    base: dict[str, torch.Tensor], state: StoredState, mask: StoredMask, tmp_path: Path
) -> None:
    source, folder = StoredWeights(in_shards(tmp_path / "base", base)), tmp_path / "served"
    for path in (mask.path, state.path):
        flip_a_byte(path)
        with (
            pytest.raises((AlteredError, CodecError), match=r"recorded|padding"),
            model_folder(folder, source, KIND) as anyone,
            weights_file(folder / "members.safetensors", source, KIND) as members,
        ):
            serve(KIND, state, source, {"all": anyone, "counted": members}, mask)
        assert list(folder.iterdir()) == []


def test_a_base_of_other_parameters_or_precision_is_refused(tmp_path: Path) -> None:
    less = {name: t for name, t in BASES["float32"].items() if name != "layer.0.bias"}
    halves = {name: tensor.half() for name, tensor in BASES["float32"].items()}
    for number, other in enumerate((less, halves)):
        source = StoredWeights(in_shards(tmp_path / str(number), other))
        for opened in (
            model_folder(tmp_path / "served", source, KIND),
            weights_file(tmp_path / "members.safetensors", source, KIND),
        ):
            with pytest.raises(MismatchError, match="in float32 or bfloat16"), opened:
                pass
