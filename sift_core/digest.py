"""The linear digest: L(x) = Σ_j r_j·x_j mod 2^64, in two independent lanes.

An entry of a merge state is x = S + k·C mod 2^64 (`totals`), one of a vector τ + k·m likewise.

It is linear in these integers, L(x + y) = L(x) + L(y), so an auditor checks in plain SQL that a
merge is the sum of exactly the vectors that lineage lists: `sum(members) mod 2^64 = merge`.
Every r_j is odd, so a change of any single entry changes every lane. The coefficients come from a
public seed: the digest is evidence of bookkeeping, SHA-256 beside it is the guard against forgery
(DESIGN §3).

Drawing coefficients is nearly all of the cost, so one word of 64 bits serves an entry: its halves
are the coefficients of the two lanes, each made odd. Other changes than of a single entry go
unnoticed by both lanes with a probability of 2^-62 where some entry differs by no multiple of 2^33,
which is far more than a bookkeeping error needs.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sift_core.philox import words

LANES = 2
_HALF, _LOW_HALF, _BOTH_ODD = np.uint64(32), np.uint64(2**32 - 1), np.uint64(2**32 + 1)
_CHUNK = 1 << 16
"""Entries at a time: 1 MiB of coefficients, which stays in cache."""


def linear_digest(
    parameters: Iterable[tuple[str, NDArray[np.uint64]]], seed: int
) -> tuple[int, ...]:
    """The digest of (parameter name, uint64 array) pairs: LANES integers in [0, 2^64).

    Cost is O(entries); the order of the pairs and how an array is chunked change nothing.
    """
    lanes = np.zeros(LANES, np.uint64)
    for name, integers in parameters:
        lanes += digest_of(name, 0, np.ascontiguousarray(integers).reshape(-1), seed)
    return as_integers(lanes)


def digest_of(name: str, start: int, entries: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """What entries `start …` of one parameter add to a digest: uint64 of shape (LANES,)."""
    lanes = np.zeros(LANES, np.uint64)
    for first in range(0, len(entries), _CHUNK):
        chunk = entries[first : first + _CHUNK]
        drawn = words("digest", seed, name, start + first, len(chunk))
        drawn |= _BOTH_ODD
        lanes += [np.dot(chunk, drawn & _LOW_HALF), np.dot(chunk, drawn >> _HALF)]
    return lanes


def as_integers(lanes: NDArray[np.uint64]) -> tuple[int, ...]:
    """Lanes as Python integers."""
    return tuple(int(lane) for lane in lanes)
