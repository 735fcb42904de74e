"""The linear digest: L(x) = Σ_j r_j·x_j mod 2^64, in four independent lanes.

It is linear in the integers, L(x + y) = L(x) + L(y), so an auditor checks in plain SQL that a
merge is the sum of exactly the vectors that lineage lists: `sum(members) mod 2^64 = merge`.
Every r_j is odd, so a change of any single entry changes every lane. The coefficients come from a
public seed: the digest is evidence of bookkeeping, SHA-256 beside it is the guard against forgery
(DESIGN §3).
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sift_core.counter import words

LANES = 4
_CHUNK = 1 << 16
"""Entries at a time: 2 MiB of coefficients, which stays in cache."""


def linear_digest(
    parameters: Iterable[tuple[str, NDArray[np.int64]]], seed: int
) -> tuple[int, ...]:
    """The digest of (parameter name, int64 array) pairs: LANES integers in [0, 2^64).

    Cost is O(entries); the order of the pairs and how an array is chunked change nothing.
    """
    lanes = np.zeros(LANES, dtype=np.uint64)
    for name, integers in parameters:
        flat = np.ascontiguousarray(integers).reshape(-1).view(np.uint64)
        for start in range(0, flat.size, _CHUNK):
            chunk = flat[start : start + _CHUNK]
            stream = words("digest", seed, name, start * LANES, chunk.size * LANES)
            coefficients = stream.reshape(-1, LANES) | np.uint64(1)
            lanes += chunk @ coefficients
    return tuple(int(lane) for lane in lanes)
