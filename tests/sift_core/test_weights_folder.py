"""Weights are read from files one tensor at a time, as they are stored."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sift_core import StoredWeights, weights_sha256
from sift_core.errors import ModelError

WEIGHTS = {
    "odd": torch.arange(7, dtype=torch.float32) / 3,
    "half": (torch.arange(15, dtype=torch.float32) / 7).bfloat16().reshape(5, 3),
    "one": torch.tensor(2.5),
    "nothing": torch.empty(0, 3),
    "sums": torch.tensor([[-(2**62), 5]]),
    "bits": torch.tensor([1, 255], dtype=torch.uint8),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards."""
    names = sorted(WEIGHTS)
    for number, own in enumerate((names[:3], names[3:])):
        save_file({name: WEIGHTS[name] for name in own}, tmp_path / f"part-{number}.safetensors")
    return tmp_path


def test_a_folder_of_shards_gives_every_tensor_as_it_was_saved(folder: Path) -> None:
    stored = StoredWeights(folder)
    assert set(stored) == set(WEIGHTS) and len(stored) == len(WEIGHTS)
    for name, expected in WEIGHTS.items():
        assert stored[name].dtype == expected.dtype and torch.equal(stored[name], expected)
    assert weights_sha256(stored) == weights_sha256(WEIGHTS)
    assert set(stored.only(["odd", "one", "elsewhere"])) == {"odd", "one"}
    with pytest.raises(KeyError):
        stored.only(["odd"])["one"]


def test_what_is_handed_out_can_be_changed_and_the_file_is_not(folder: Path) -> None:
    stored = StoredWeights(folder)
    stored["odd"][0] = 9
    assert torch.equal(stored["odd"], WEIGHTS["odd"])
    assert torch.equal(load_file(stored.places["odd"].path)["odd"], WEIGHTS["odd"])


@pytest.mark.parametrize("size", [0, 5, -1])
def test_a_file_that_is_cut_off_does_not_load(folder: Path, size: int) -> None:
    path = folder / "part-1.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ModelError, match=r"part-1\.safetensors does not load"):
        StoredWeights(folder)


def test_a_dtype_that_is_not_known_is_an_error(tmp_path: Path) -> None:
    save_file({"p": torch.ones(2, dtype=torch.float8_e4m3fn)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match="'p' in F8_E4M3"):
        StoredWeights(tmp_path)
