"""The frozen projection of adapters is the same everywhere, to the bit and in every precision."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sift_core import lora
from sift_core.serving import weights_sha256
from tests.support.golden_state import GoldenJson

LAYER = "base_model.model.model.layers.0.self_attn.q_proj"

seeds = st.integers(0, 2**63 - 1)
ranks = st.integers(1, 9)
widths = st.integers(1, 300)


@given(seeds, ranks, widths)
def test_a_projection_is_exact_in_every_precision_and_never_zero(
    seed: int, rank: int, inputs: int
) -> None:
    drawn = lora.projection(seed, f"{LAYER}.lora_A.weight", rank, inputs)
    assert drawn.shape == (rank, inputs) and drawn.dtype == torch.float32
    for dtype in (torch.bfloat16, torch.float16):
        assert torch.equal(drawn.to(dtype).float(), drawn)
    assert drawn.abs().min() > 0
    assert drawn.abs().max() * inputs**0.5 < 1.5


@given(seeds, widths)
def test_a_projection_of_more_rows_begins_with_the_rows_of_fewer(seed: int, inputs: int) -> None:
    few, many = (lora.projection(seed, LAYER, rank, inputs) for rank in (2, 5))
    assert torch.equal(many[:2], few)


def test_projections_differ_by_seed_and_by_layer() -> None:
    drawn = [
        lora.projection(seed, name, 4, 32).numpy().tobytes()
        for seed in (1, 2)
        for name in ("one", "other")
    ]
    assert len(set(drawn)) == 4


def test_a_projection_is_spread_evenly() -> None:
    drawn = lora.projection(3, LAYER, 64, 1024).numpy() * 32  # in (−1, 1)
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.std() - 3**-0.5) < 0.01
    assert len(np.unique(drawn)) == 256


def test_the_bits_of_a_projection_never_change(golden_json: GoldenJson) -> None:
    drawn = {
        f"{rank}x{inputs}": lora.projection(20250404, LAYER, rank, inputs)
        for rank, inputs in ((1, 1), (4, 576), (16, 4096))
    }
    golden_json("projections", {name: weights_sha256({name: a}) for name, a in drawn.items()})


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        (["m.0.q", "m.0.k", "m.1.q", "m.1.k"], ["k", "q"]),
        (["m.0.q", "m.1.q"], ["q"]),
        (["m.1.k", "m.1.q"], ["m.1.k", "m.1.q"]),
    ],
)
def test_layers_are_named_as_shortly_as_says_which(layers: list[str], named: list[str]) -> None:
    every = ["m.0.q", "m.0.k", "m.1.q", "m.1.k"]
    assert lora.shortest(layers, every) == named


@pytest.mark.parametrize(
    ("live", "name"),
    [
        ("m.q.lora_B.default.weight", "base_model.model.m.q.lora_B.weight"),
        ("base_model.model.m.q.lora_A.default.weight", "base_model.model.m.q.lora_A.weight"),
        ("m.q.base_layer.weight", "base_model.model.m.q.weight"),
        (
            "base_model.model.score.modules_to_save.default.weight",
            "base_model.model.score.weight",
        ),
    ],
)
def test_parameters_have_the_names_of_pefts_state_dict(live: str, name: str) -> None:
    assert lora.peft_name(live) == name
