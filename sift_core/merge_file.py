"""How a merge state lies in its file: sums S and counts C, piece by piece (`merge/2`).

A parameter is cut into the pieces of `blocks`, of at most 2^18 entries. Each piece is two tensors,
`NAME[start:stop].S` and `NAME[start:stop].C`, and pieces follow each other in the order of names:
S and C of an entry are never far apart, so a file of any size is read, checked, changed and written
in one pass.

Most sums fit 32 bits, and most counts 8. Both have one width in all of a file, the narrowest that
its content allows: equal states have equal bytes, in 5 bytes an entry instead of 12. Behind the
last count of a piece stand zeros up to a multiple of 8 bytes, so that every tensor is aligned.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sift_core.blocks import Block, Piece, blocks, joined
from sift_core.canonical import DTYPES, broken
from sift_core.totals import Totals

_ALIGNMENT = 8
_SUMS = (np.dtype("<i4"), np.dtype("<i8"))
_COUNTS = (np.dtype("<u1"), np.dtype("<u2"), np.dtype("<u4"))
MOST_MEMBERS = 2**32 - 1
"""A count is never wider than 32 bits."""


@dataclass(frozen=True)
class Widths:
    """The dtypes of all sums and of all counts in one file."""

    sums: np.dtype[Any] = _SUMS[0]
    counts: np.dtype[Any] = _COUNTS[0]

    @classmethod
    def of(cls, totals: Totals) -> "Widths":
        """The narrowest that have room for these totals, which are in range."""
        return cls(
            next(dtype for dtype in _SUMS if totals.largest <= np.iinfo(dtype).max),
            next(dtype for dtype in _COUNTS if totals.most <= np.iinfo(dtype).max),
        )

    def __or__(self, other: "Widths") -> "Widths":
        """The narrowest that have room for what fits one of both."""
        return Widths(
            max(self.sums, other.sums, key=lambda dtype: dtype.itemsize),
            max(self.counts, other.counts, key=lambda dtype: dtype.itemsize),
        )

    @property
    def size(self) -> int:
        """The bytes of one entry."""
        return self.sums.itemsize + self.counts.itemsize


ALL_WIDTHS = tuple(Widths(sums, counts) for sums in _SUMS for counts in _COUNTS)


def bytes_of_piece(piece: Piece, widths: Widths) -> int:
    """How many bytes a piece takes: its sums, its counts, and zeros."""
    return -(-len(piece) * widths.size // _ALIGNMENT) * _ALIGNMENT


def bytes_of_block(block: Block, widths: Widths) -> int:
    """How many bytes its pieces take."""
    return sum(bytes_of_piece(piece, widths) for piece in block.pieces)


def bytes_of_all(shapes: Mapping[str, tuple[int, ...]], widths: Widths) -> int:
    """How many bytes follow the head."""
    return sum(bytes_of_block(block, widths) for block in blocks(shapes))


def names_of_piece(piece: Piece) -> tuple[str, str]:
    """The tensors that hold a piece's sums and its counts."""
    where = f"{piece.name}[{piece.start}:{piece.stop}]"
    return f"{where}.S", f"{where}.C"


def layout(
    shapes: Mapping[str, tuple[int, ...]], widths: Widths
) -> Iterator[tuple[str, str, tuple[int, ...], int]]:
    """Name, dtype, shape and size in bytes of every tensor, in the order of the file."""
    own_sums, own_counts = (DTYPES[dtype.name] for dtype in (widths.sums, widths.counts))
    for block in blocks(shapes):
        for piece in block.pieces:
            sums, counts = names_of_piece(piece)
            size = len(piece) * widths.sums.itemsize
            room = bytes_of_piece(piece, widths) - size
            yield sums, own_sums, (len(piece),), size
            yield counts, own_counts, (room // widths.counts.itemsize,), room


def pack(block: Block, totals: Totals, widths: Widths) -> NDArray[np.uint8]:
    """The bytes of a block in a file of these widths, which have room for all of it."""
    data = np.empty(bytes_of_block(block, widths), np.uint8)
    for (own_sums, own_counts, rest), (_, span) in zip(
        _parts(block, data, widths), block.spans(), strict=True
    ):
        own_sums[:] = totals.sums[span]
        own_counts[:] = totals.counts[span]
        rest[:] = 0
    return data


def unpack(block: Block, data: NDArray[np.uint8], widths: Widths, path: Path) -> Totals:
    """The totals of a block, in these widths: views of `data` where it is one piece.

    Raises CodecError where anything stands behind them.
    """
    sums, counts, rests = zip(*_parts(block, data, widths), strict=True)
    if any(rest.any() for rest in rests):
        raise broken(str(path), "a byte between its tensors is not zero")
    return Totals(joined(sums), joined(counts))


def _parts(
    block: Block, data: NDArray[np.uint8], widths: Widths
) -> Iterator[Sequence[NDArray[Any]]]:
    """Each piece's sums, counts, and the zeros behind them, as views of the bytes of a block."""
    start = 0
    for piece in block.pieces:
        middle = start + len(piece) * widths.sums.itemsize
        stop = middle + len(piece) * widths.counts.itemsize
        end = start + bytes_of_piece(piece, widths)
        yield (
            data[start:middle].view(widths.sums),
            data[middle:stop].view(widths.counts),
            data[stop:end],
        )
        start = end


def as_arrays(
    shapes: Mapping[str, tuple[int, ...]], found: Mapping[str, NDArray[Any]]
) -> tuple[dict[str, NDArray[np.int64]], dict[str, NDArray[np.uint32]]]:
    """S and C of whole parameters from the tensors of a file. Raises KeyError, ValueError."""
    sums: dict[str, list[NDArray[np.int64]]] = {}
    counts: dict[str, list[NDArray[np.uint32]]] = {}
    for block in blocks(shapes):
        for piece in block.pieces:
            own_sums, own_counts = (found[name] for name in names_of_piece(piece))
            if own_sums.dtype not in _SUMS or own_counts.dtype not in _COUNTS:
                raise ValueError(f"{piece.name!r} is {own_sums.dtype} and {own_counts.dtype}")
            sums.setdefault(piece.name, []).append(own_sums.astype(np.int64))
            counts.setdefault(piece.name, []).append(own_counts[: len(piece)].astype(np.uint32))
    return (
        {name: np.concatenate(parts).reshape(shapes[name]) for name, parts in sums.items()},
        {name: np.concatenate(parts).reshape(shapes[name]) for name, parts in counts.items()},
    )
