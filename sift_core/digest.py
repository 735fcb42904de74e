"""The linear digest: L(x) = Σ_j r_j·x_j mod 2^64, in two independent lanes.

An entry of a merge state is x = S + k·C mod 2^64 (`totals`), one of a vector τ + k·m likewise.

It is linear in these integers, L(x + y) = L(x) + L(y), so an auditor checks in plain SQL that a
merge is the sum of exactly the vectors that lineage lists: `sum(members) mod 2^64 = merge`.
Every r_j is odd, so a change of any single entry changes every lane. The coefficients come from a
public seed: the digest is evidence of bookkeeping, SHA-256 beside it is the guard against forgery
(DESIGN §3).

One word of 64 bits serves an entry: its halves are the coefficients of the two lanes, each made
odd. Other changes than of a single entry go unnoticed by both lanes with a probability of 2^-62
where some entry differs by no multiple of 2^33, which is far more than a bookkeeping error needs.
Words are AES-128 in counter mode, addressed by position like those of `philox` and seven times as
fast where processors have AES: a digest takes a word for each entry, where signs take a bit.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

LANES = 2
_HALF, _LOW_HALF, _BOTH_ODD = np.uint64(32), np.uint64(2**32 - 1), np.uint64(2**32 + 1)
_CHUNK = 1 << 16
"""Entries at a time: half a MiB of coefficients, which stays in cache."""
_WORD, _AES_BLOCK = 8, 16
_NOTHING = bytes(_WORD * _CHUNK + _AES_BLOCK)
""""Encrypted", this is the key stream."""


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
        drawn = _words(seed, name, start + first, len(chunk))
        drawn |= _BOTH_ODD
        halves = (drawn & _LOW_HALF, drawn >> _HALF)
        lanes += [np.einsum("i,i->", chunk, half) for half in halves]
    return lanes


def _words(seed: int, parameter: str, start: int, count: int) -> NDArray[np.uint64]:
    """Words `start …` of one parameter's stream, at most `_CHUNK`: uint64 of shape (count,)."""
    key = hashlib.sha256(f"sift/2/digest/{seed}/{parameter}".encode()).digest()[:16]
    block, offset = divmod(start, _AES_BLOCK // _WORD)
    counter = modes.CTR(block.to_bytes(_AES_BLOCK, "big"))
    stream = Cipher(algorithms.AES(key), counter).encryptor()
    drawn = bytearray(_WORD * (offset + count) + _AES_BLOCK)  # it asks for room for one more
    stream.update_into(memoryview(_NOTHING)[: _WORD * (offset + count)], drawn)
    return np.frombuffer(drawn, "<u8", count, _WORD * offset)


def as_integers(lanes: NDArray[np.uint64]) -> tuple[int, ...]:
    """Lanes as Python integers."""
    return tuple(int(lane) for lane in lanes)
