"""TALL masks, EMR and TIES as a good engineer would rebuild them after one contributor has left.

The rules of `benchmarks.merging_rules`, streamed: one vector in memory at a time, in pieces that
stay in the processor's cache, without a temporary array of full length. Whatever a peer may keep
is granted: the float32 sum (so that one subtraction renews it) and trimmed vectors.

A task vector here is a flat float32 array of shape (d,).
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Bits = NDArray[np.bool_]

_PIECE = 1 << 16
"""Entries at a time: 256 KiB of float32."""


def tall_mask(vector: Vector, total: Vector, strictness: float) -> Bits:
    """1{|τ_t| ≥ λ·|S − τ_t|}."""
    mask = np.empty(vector.size, np.bool_)
    for piece in _pieces(vector.size):
        rest = total[piece] - vector[piece]
        np.abs(rest, out=rest)
        rest *= np.float32(strictness)
        np.greater_equal(np.abs(vector[piece]), rest, out=mask[piece])
    return mask


def emr_unified(vectors: Iterable[Vector], total: Vector) -> Vector:
    """The sign of the sum with the largest magnitude among the vectors that agree."""
    elected = np.sign(total)
    largest = np.zeros_like(elected)
    for vector in vectors:
        for piece in _pieces(vector.size):
            # Where a vector agrees the product is its magnitude, elsewhere it is not above 0.
            np.maximum(largest[piece], vector[piece] * elected[piece], out=largest[piece])
    largest *= elected
    return largest


def emr_mask(vector: Vector, unified: Vector) -> tuple[Bits, float]:
    """Where a vector agrees with the unified one, and the factor to its own mean magnitude."""
    mask = np.empty(vector.size, np.bool_)
    own = size = 0.0
    for piece in _pieces(vector.size):
        np.greater(vector[piece] * unified[piece], 0, out=mask[piece])
        size += float(np.dot(mask[piece].astype(np.float32), np.abs(unified[piece])))
        own += float(np.abs(vector[piece]).sum())
    return mask, own / size if size else 0.0


def ties_merged(trimmed: Iterable[Vector], total: Vector) -> Vector:
    """The mean, entry by entry, of the trimmed vectors that agree with the sign of their sum."""
    elected = np.sign(total)
    summed = np.zeros_like(elected)
    counts = np.zeros_like(elected)
    for vector in trimmed:
        for piece in _pieces(vector.size):
            agreeing = vector[piece] * elected[piece]
            np.maximum(agreeing, 0, out=agreeing)
            summed[piece] += agreeing
            counts[piece] += agreeing > 0
    summed *= elected
    summed /= np.maximum(counts, 1)
    return summed


def _pieces(size: int) -> Iterator[slice]:
    return (slice(start, start + _PIECE) for start in range(0, size, _PIECE))
