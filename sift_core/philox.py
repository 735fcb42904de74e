"""Random words that are addressed, not drawn: the counter-based generator under signs and A.

Every word is a pure function of (purpose, seed, parameter name, position), so the same bits come
out on every machine, for any slice, in any order, and nothing random is ever stored. The
generator is Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) as
NumPy ships it; NumPy guarantees the raw stream of a bit generator across versions, and the golden
tests hold it to that.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

_WORDS_PER_BLOCK = 4
_LARGEST = 2**64 - 1


def words(purpose: str, seed: int, parameter: str, start: int, count: int) -> NDArray[np.uint64]:
    """Words `start … start + count` of the stream of one parameter.

    Returns a uint64 array of shape `(count,)`.
    """
    key = hashlib.sha256(f"sift/1/{purpose}/{seed}/{parameter}".encode()).digest()[:16]
    block, offset = divmod(start, _WORDS_PER_BLOCK)
    generator = np.random.Generator(
        np.random.Philox(key=int.from_bytes(key, "little"), counter=block)
    )
    # Over the full range the generator hands out its raw stream, as `random_raw` does, but without
    # taking the interpreter's lock anew for every word: several threads can draw at once.
    return generator.integers(0, _LARGEST, offset + count, np.uint64, endpoint=True)[offset:]
