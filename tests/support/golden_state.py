"""The contributors and the merge state that goldens are made of."""

from collections.abc import Callable

import numpy as np

from sift_core import Mask, MergeState, TaskVector
from tests.support.builders import GRID, SEED, SHAPES

GoldenJson = Callable[[str, object], None]


def contributors() -> list[TaskVector]:
    """Three task vectors by plain arithmetic, so that no library's random stream is in them."""
    vectors = []
    for number in range(3):
        bits, magnitudes = {}, {}
        for name, shape in SHAPES.items():
            count = int(np.prod(shape))
            chosen = (np.arange(count) * 7 + number) % 3 != 0
            halves = 1 + (np.arange(count) * 2654435761 + number * 40503) % 0x7BFF
            bits[name] = chosen.reshape(shape)
            magnitudes[name] = halves[chosen].astype(np.uint16).view(np.float16)
        vectors.append(TaskVector(Mask(bits, SEED), magnitudes, GRID))
    return vectors


def state() -> MergeState:
    return MergeState.rebuild(contributors(), SHAPES, GRID, SEED)
