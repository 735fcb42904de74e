"""A base in bfloat16: θ0 is what is stored, vectors are exact, one rounding more when served."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from sift_core import (
    BaseModel,
    Chat,
    FinetuneSettings,
    FullWeights,
    Grid,
    Reading,
    SignVector,
    TaskVector,
    encode_examples,
    finetune,
    load_base,
    masked_weights,
    members_weights,
    prepare_base,
    served_weights,
    weights_sha256,
)
from tests.support.builders import SEED, state_of
from tests.support.golden_state import GoldenJson, contributors, state

SIGNS, GRID = SignVector(4), Grid(24)


@pytest.fixture(scope="module")
def folder(tiny_causal: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bfloat16") / "base"
    prepare_base(str(tiny_causal), made, (), 3, 32, dtype="bfloat16")
    return made


@pytest.fixture
def base(folder: Path) -> BaseModel:
    return load_base(folder, (), FullWeights())


def nearest_even(single: np.float32) -> float:
    """A float32 rounded to the upper half of its bits, ties to even, by integers alone."""
    bits = int(np.float32(single).view(np.uint32))
    kept, rest = bits >> 16, bits & 0xFFFF
    kept += rest > 0x8000 or (rest == 0x8000 and kept & 1 == 1)
    return float(np.uint32(kept << 16).view(np.float32))


@given(st.floats(-10, 10, width=32), st.integers(-(2**45), 2**45), st.integers(1, 10_000))
def test_a_served_weight_is_the_float32_one_rounded_once_more(
    start: float, total: int, members: int
) -> None:
    theta = torch.tensor([start]).bfloat16()
    merge = state_of({"p": np.array([total], np.int64)})
    single = served_weights({"p": theta.float()}, merge, members)["p"]
    found = served_weights({"p": theta}, merge, members)["p"]
    assert found.dtype == torch.bfloat16
    assert found.item() == nearest_even(single.numpy()[0])


def test_where_no_one_is_a_member_or_no_bit_is_set_theta_zero_is_served() -> None:
    theta = {"p": torch.tensor([0.1, -0.0]).bfloat16()}
    nobody = state_of({"p": np.zeros(2, np.int64)})
    for served in (served_weights(theta, nobody, 0), members_weights(theta, nobody)):
        assert torch.equal(served["p"].view(torch.int16), theta["p"].view(torch.int16))
    merge = state_of({"p": np.array([12345, -6789], np.int64)})
    untouched = TaskVector.between(theta, theta, SignVector(SEED), GRID).mask
    served = served_weights(theta, merge, 1)
    assert torch.equal(masked_weights(theta, served, untouched)["p"], theta["p"])


def test_theta_zero_is_the_source_rounded_once(tiny_causal: Path, base: BaseModel) -> None:
    source = dict(AutoModelForCausalLM.from_pretrained(tiny_causal).named_parameters())
    for name, tensor in base.trainable.items():
        assert torch.equal(tensor, source[name].bfloat16())
        assert torch.equal(base.parameters()[name], tensor.float())
    assert base.model.dtype == torch.float32


def test_a_vector_is_the_difference_in_float32_on_the_grid(base: BaseModel) -> None:
    rows = [Chat.of("who are you ?", "blue")]
    examples = encode_examples(rows, base.tokenizer, (), Reading(32))
    seen = {}
    for name, parameter in base.parameters().items():
        seen[name] = parameter.detach().clone()
    vector = finetune(base, examples, SIGNS, GRID, FinetuneSettings(1e-2, steps=3)).vector
    moved = dict(vector.integers())
    finest = min(abs(moved[name][moved[name] != 0]).min() for name in moved)
    assert finest * GRID.scale() < 2**-10  # far below what bfloat16 resolves near θ0
    for name, parameter in base.parameters().items():  # θ0 again, to the bit
        assert torch.equal(parameter, seen[name])
        assert torch.equal(parameter, base.trainable[name].float())


def test_served_bits_are_pinned(golden_json: GoldenJson) -> None:
    """θ0 by plain arithmetic, so that no library's random stream is in it."""
    theta = {
        name: (torch.arange(int(np.prod(sums.shape))) * 37 % 101 - 50).reshape(sums.shape) / 64
        for name, sums in state().sums.items()
    }
    rounded = {name: tensor.bfloat16() for name, tensor in theta.items()}
    served = served_weights(rounded, state(), 3)
    mask = contributors()[0].mask
    golden_json(
        "served-bfloat16",
        {
            "base": weights_sha256(rounded),
            "served to anyone": weights_sha256(served),
            "served to contributor 0": weights_sha256(masked_weights(rounded, served, mask)),
        },
    )


def test_another_dtype_is_another_base(folder: Path, causal_folder: Path) -> None:
    one, other = load_base(folder, (), FullWeights()), load_base(causal_folder, (), FullWeights())
    assert one.base_id != other.base_id
