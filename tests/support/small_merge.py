"""A small merge, and the base models that it is served on."""

import torch

from sift_core import Kind, MergeState
from tests.support.builders import GRID, SEED, SHAPES, base_weights, vector

KIND = Kind(SHAPES, GRID, SEED)
MEMBERS = [vector(1), vector(2), vector(3)]
STATE = MergeState.rebuild(MEMBERS, SHAPES, GRID, SEED)
BASES: dict[str, dict[str, torch.Tensor]] = {
    "float32": base_weights(),
    "bfloat16": {name: tensor.bfloat16() for name, tensor in base_weights().items()},
}
