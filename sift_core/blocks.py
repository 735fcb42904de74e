"""Tensors in blocks of bounded size, in the order in which canonical files hold them.

A large parameter is cut into pieces; small ones go together in one block. So neither a huge tensor
costs much memory nor a thousand tiny ones much time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ENTRIES = 1 << 18
"""Most entries of a block: 2 MiB of sums. A multiple of 64: a piece begins with a sign word."""

_IN_CACHE = 1 << 16
"""Entries of which a few arrays stay in a core's cache from one operation to the next."""


def in_cache(entries: int) -> Iterator[slice]:
    """Spans of at most `_IN_CACHE` entries, one after the other.

    Arithmetic that goes over the same entries several times waits for memory otherwise.
    """
    for start in range(0, entries, _IN_CACHE):
        yield slice(start, min(start + _IN_CACHE, entries))


@dataclass(frozen=True)
class Piece:
    """The entries `start … stop` in C order of one parameter of `entries` entries."""

    name: str
    start: int
    stop: int
    entries: int

    @property
    def is_first(self) -> bool:
        """Whether the parameter begins here."""
        return self.start == 0

    @property
    def is_last(self) -> bool:
        """Whether the parameter ends here."""
        return self.stop == self.entries

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Block:
    """Pieces that stand one after the other in every canonical file."""

    pieces: tuple[Piece, ...]

    @cached_property
    def entries(self) -> int:
        """How many entries all pieces have."""
        return sum(len(piece) for piece in self.pieces)

    def spans(self) -> Iterator[tuple[Piece, slice]]:
        """Each piece, and where in an array over the block it is."""
        start = 0
        for piece in self.pieces:
            yield piece, slice(start, start + len(piece))
            start += len(piece)


def joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """An array over a block from those of its pieces; not copied where there is one."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def blocks(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Block]:
    """All entries of all parameters, in the order of names."""
    gathered: list[Piece] = []
    entries = 0
    for piece in _pieces(shapes):
        if gathered and entries + len(piece) > _ENTRIES:
            yield Block(tuple(gathered))
            gathered, entries = [], 0
        gathered.append(piece)
        entries += len(piece)
    if gathered:
        yield Block(tuple(gathered))


def _pieces(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Piece]:
    """A parameter without entries is one empty piece: its name counts, too."""
    for name in sorted(shapes):
        entries = prod(shapes[name])
        for start in range(0, max(entries, 1), _ENTRIES):
            yield Piece(name, start, min(start + _ENTRIES, entries), entries)
