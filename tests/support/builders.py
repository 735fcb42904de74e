"""Task vectors out of thin air, for tests of everything after finetuning."""

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sift_core import Grid, Mask, MergeState, SignVector, TaskVector

SHAPES: dict[str, tuple[int, ...]] = {
    "layer.0.weight": (5, 7),
    "layer.0.bias": (7,),
    "layer.1.weight": (3, 2, 4),
    "logit_scale": (),
    "nothing": (0, 3),
}
SEED = 20_250
GRID = Grid(24)
LARGEST_HALF = 0x7BFF
"""The float16 65504 as bits; 1 … LARGEST_HALF are all the finite positive ones."""


def vector(number: int, density: float = 0.5, seed: int = SEED, grid: Grid = GRID) -> TaskVector:
    """The task vector number `number`, with magnitudes from the whole range of float16."""
    random = np.random.default_rng([number, int(density * 1000)])
    bits = {name: np.asarray(random.random(shape) < density) for name, shape in SHAPES.items()}
    magnitudes = {
        name: random.integers(1, LARGEST_HALF, np.count_nonzero(chosen), np.uint16, True).view(
            "<f2"
        )
        for name, chosen in bits.items()
    }
    return TaskVector(Mask(bits, seed), magnitudes, grid)


def state_of(
    sums: Mapping[str, np.ndarray], count: int = 1, grid: Grid = GRID, seed: int = SEED
) -> MergeState:
    """A merge state with these sums, each that is not zero of `count` members."""
    counts = {name: np.where(own != 0, count, 0).astype(np.uint32) for name, own in sums.items()}
    return MergeState(dict(sums), counts, grid, seed)


def vectors(most: int = 12) -> st.SearchStrategy[list[TaskVector]]:
    """Up to `most` task vectors of one workspace, of any density."""
    one = st.builds(vector, st.integers(0, 2**32), st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]))
    return st.lists(one, min_size=1, max_size=most)


_SHAPE = npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=11)


@st.composite
def any_vector(draw: st.DrawFn) -> TaskVector:
    """A task vector of any parameters: 0-d, without entries, untouched, moved everywhere."""
    masks = st.one_of(
        npst.arrays(np.bool_, _SHAPE),
        npst.arrays(np.bool_, _SHAPE, elements=st.just(False)),
        npst.arrays(np.bool_, _SHAPE, elements=st.just(True)),
    )
    names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)
    bits = draw(st.dictionaries(names, masks, min_size=1, max_size=4))
    magnitudes = {}
    for name, chosen in bits.items():
        halves = npst.arrays(
            np.uint16, int(np.count_nonzero(chosen)), elements=st.integers(1, LARGEST_HALF)
        )
        magnitudes[name] = draw(halves).view(np.float16)
    return TaskVector(Mask(bits, SEED), magnitudes, GRID)


def base_weights(seed: int = 0) -> dict[str, torch.Tensor]:
    """θ0 for SHAPES, float32."""
    random = np.random.default_rng(seed)
    return {
        name: torch.from_numpy(np.asarray(random.normal(0, 0.1, shape), np.float32))
        for name, shape in SHAPES.items()
    }


def outward(
    base: Mapping[str, torch.Tensor], by: float, seed: int = SEED
) -> dict[str, torch.Tensor]:
    """θ0 moved by `by` along the sign vector, every entry."""
    signs = SignVector(seed)
    return {
        name: tensor
        + by * (2.0 * torch.from_numpy(signs.positive(name, tuple(tensor.shape))) - 1.0)
        for name, tensor in base.items()
    }


def raw_safetensors(header: Mapping[str, object], body: bytes, padding: str = "") -> bytes:
    """A safetensors file written by hand, as an attacker would."""
    text = (json.dumps(header, separators=(",", ":")) + padding).encode()
    return struct.pack("<Q", len(text)) + text + body


def taken_apart(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and body of a safetensors file."""
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]
