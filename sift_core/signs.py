"""The global sign vector v ∈ {−1,+1}^d, drawn from a seed before and independent of any data."""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from sift_core.philox import words

_BITS_PER_WORD = 64


@dataclass(frozen=True)
class SignVector:
    """The sign vector of a workspace; `seed` is all there is to store (arXiv 2504.04626, §3).

    A mask can be independent of every other contributor only because v is fixed first, so the
    seed belongs to the workspace's settings and never changes after the first finetuning.
    """

    seed: int

    def positive(self, parameter: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Where v is +1, as bool of `shape`. Bit `i` of the stream is entry `i` in C order."""
        return self.between(parameter, 0, prod(shape)).reshape(shape)

    def between(self, parameter: str, start: int, stop: int) -> NDArray[np.bool_]:
        """Where v is +1 among the entries `start … stop`, bool; `start` is a multiple of 64."""
        first, last = start // _BITS_PER_WORD, -(-stop // _BITS_PER_WORD)
        stream = words("sign", self.seed, parameter, first, last - first)
        bytes_ = stream.astype("<u8").view(np.uint8)
        return np.unpackbits(bytes_, count=stop - start, bitorder="little").view(np.bool_)
