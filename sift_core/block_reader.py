"""Canonical files read once, front to back, in blocks: as strictly as whole, in bounded memory.

Every byte that is used is also hashed, in the same read, and the hash must be the recorded one
before anything made of those bytes counts. What is read is checked before it is computed with, so
that a hostile file can lead to an error and to nothing else.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sift_core.blocks import Block, Piece, blocks, joined
from sift_core.canonical import altered, broken
from sift_core.errors import CodecError, GridOverflowError, MiscountError, MismatchError
from sift_core.file_header import Kind, shapes_of, unexpected, widths_in
from sift_core.fixed_point import INTEGER_OF, LARGEST_MAGNITUDE
from sift_core.merge_file import Widths, bytes_of_block, unpack
from sift_core.totals import Totals, require_totals

_CHUNK = 1 << 22


@dataclass(frozen=True)
class StoredState:
    """A merge-state file, the SHA-256 that was recorded for it, and T, who its members are many.

    T is derived from lineage, the one place that knows who is a member.
    """

    path: Path
    sha256: str
    members: int


@dataclass(frozen=True)
class StoredMask:
    """A mask file and the SHA-256 that was recorded for it."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class StoredVector:
    """A vector file, its mask file, and the SHA-256 that were recorded for them."""

    vector: Path
    mask: Path
    vector_sha256: str
    mask_sha256: str


class PieceReader:
    """The bytes of one file in order.

    No handle stays open between reads, so that any number of files can be read side by side.
    """

    def __init__(self, path: Path, sha256: str) -> None:
        self.path = path
        self._recorded = sha256
        self._hash = hashlib.sha256()
        self._at = 0

    def read(self, size: int) -> NDArray[np.uint8]:
        """The next `size` bytes, fewer where the file ends; writable."""
        data = np.empty(size, np.uint8)
        try:
            handle = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError as error:
            raise altered(self.path, None, self._recorded) from error
        try:
            found = os.preadv(handle, [data.data], self._at) if size else 0
        finally:
            os.close(handle)
        self._hash.update(data[:found].data)
        self._at += found
        return data[:found]

    def take(self, size: int) -> NDArray[np.uint8]:
        """The next `size` bytes. Raises CodecError where the file ends before."""
        data = self.read(size)
        if len(data) < size:
            raise broken(str(self.path), "it ends too early")
        return data

    def head(self) -> bytes:
        """The head: length and header. Raises CodecError where there is none."""
        length = self.take(8).tobytes()
        size = int.from_bytes(length, "little")
        if size > self.path.stat().st_size:
            raise broken(str(self.path), "its header is longer than the file")
        return length + self.take(size).tobytes()

    def finish(self) -> None:
        """Raise AlteredError unless all bytes are as recorded, CodecError where it goes on."""
        rest = self.rest()
        if rest:
            raise broken(str(self.path), f"{rest} bytes follow its last tensor")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Where the file is not the recorded one, say that rather than what is wrong with it."""
        try:
            yield
        except (CodecError, GridOverflowError, MiscountError, MismatchError):
            self.rest()
            raise

    def rest(self) -> int:
        """How many bytes are left, all read. Raises AlteredError unless all are as recorded."""
        rest = 0
        while found := len(self.read(_CHUNK)):
            rest += found
        sha256 = self._hash.hexdigest()
        if sha256 != self._recorded:
            raise altered(self.path, sha256 if self._at else None, self._recorded)
        return rest


class StateReader:
    """The totals of a merge-state file, block by block."""

    def __init__(self, stored: StoredState, kind: Kind) -> None:
        self._file = PieceReader(stored.path, stored.sha256)
        self._members = stored.members
        with self._file.explained():
            found = self._file.head()
            self.widths = widths_in(found)
            _require_head(stored.path, found, kind.head_of_state(self.widths))
        self._needed = Widths()

    def take(self, block: Block) -> Totals:
        """The totals of the next block. Raises GridOverflowError, MiscountError."""
        with self._file.explained():
            data = self._file.take(bytes_of_block(block, self.widths))
            totals = unpack(block, data, self.widths, self._file.path)
            require_totals(block, totals, self._members)
        self._needed |= Widths.of(totals)
        return totals

    def require_recorded(self) -> None:
        """Raise AlteredError unless all of the file is as recorded, whatever else is wrong."""
        self._file.rest()

    def finish(self) -> None:
        """Raise AlteredError or CodecError unless all of the file is what it should be."""
        self._file.finish()
        if self._needed != self.widths:
            raise broken(str(self._file.path), "its sums or counts are wider than they need to be")


class MaskReader:
    """The bits of a mask, block by block."""

    def __init__(self, stored: StoredMask, kind: Kind) -> None:
        self._file = PieceReader(stored.path, stored.sha256)
        with self._file.explained():
            _require_head(stored.path, self._file.head(), kind.head_of_mask())

    def take(self, block: Block) -> NDArray[np.bool_]:
        """The bits of the next block, bool of shape (entries,)."""
        with self._file.explained():
            found = [
                _bits(self._file.take(-(-len(piece) // 8)), len(piece), self._file.path)
                for piece in block.pieces
            ]
        return joined(found)

    def finish(self) -> None:
        """Raise AlteredError or CodecError unless all of the file is what it should be."""
        self._file.finish()


class VectorReader:
    """The non-zero entries of a vector, block by block: which they are, and their magnitudes."""

    def __init__(self, stored: StoredVector, kind: Kind) -> None:
        self._mask = PieceReader(stored.mask, stored.mask_sha256)
        self._vector = PieceReader(stored.vector, stored.vector_sha256)
        with self._mask.explained(), self._vector.explained():
            _require_head(stored.mask, self._mask.head(), kind.head_of_mask())
            found = self._vector.head()
            counts = kind.set_bits(stored.vector, found)
            expected = kind.head_of_vector(counts, stored.mask_sha256)
            _require_head(stored.vector, found, expected)
        self._counts = np.array([counts[name] for name in sorted(counts)], np.int64)
        self._parameter = 0
        self._left = 0

    def take(self, block: Block) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """The mask of the next block, bool of shape (entries,), and |τ|·2^bits where it is set."""
        with self._mask.explained(), self._vector.explained():
            moved = self._moved(block)
            return moved, INTEGER_OF.take(self._magnitudes(int(np.count_nonzero(moved))))

    def require_recorded(self) -> None:
        """Raise AlteredError unless all of both files is as recorded, whatever else is wrong."""
        self._mask.rest()
        self._vector.rest()

    def _moved(self, block: Block) -> NDArray[np.bool_]:
        packed = self._mask.take(sum(-(-len(piece) // 8) for piece in block.pieces))
        found, at = [], 0
        for piece in block.pieces:
            stop = at - (-len(piece) // 8)
            bits = _bits(packed[at:stop], len(piece), self._mask.path)
            self._count(piece, int(np.count_nonzero(bits)))
            found.append(bits)
            at = stop
        return joined(found)

    def _count(self, piece: Piece, set_bits: int) -> None:
        """Raise CodecError where the vector has not as many magnitudes as the mask has bits."""
        if piece.is_first:
            self._left = int(self._counts[self._parameter])
            self._parameter += 1
        self._left -= set_bits
        if self._left < 0 or (piece.is_last and self._left):
            raise broken(str(self._vector.path), f"{piece.name!r} has not a magnitude per set bit")

    def _magnitudes(self, count: int) -> NDArray[np.uint16]:
        halves = self._vector.take(count * 2).view("<u2")
        if count and (halves.min() < 1 or halves.max() > LARGEST_MAGNITUDE):
            raise broken(str(self._vector.path), "a magnitude in it is not finite and positive")
        return halves

    def finish(self) -> None:
        """Raise AlteredError or CodecError unless all of both files is what it should be."""
        self._mask.finish()
        self._vector.finish()


def state_blocks(kind: Kind, state: StoredState) -> Iterator[tuple[Block, Totals]]:
    """The totals of a merge-state file, block by block.

    They count only when the iterator has come to its end: then the file was as recorded. Raises
    AlteredError, CodecError, MismatchError, GridOverflowError, MiscountError.
    """
    reader = StateReader(state, kind)
    for block in blocks(kind.shapes):
        yield block, reader.take(block)
    reader.finish()


def require_mask(stored: StoredMask, kind: Kind) -> None:
    """Raise AlteredError, CodecError or MismatchError unless a file is this mask, whole."""
    reader = MaskReader(stored, kind)
    for block in blocks(kind.shapes):
        reader.take(block)
    reader.finish()


def _bits(packed: NDArray[np.uint8], count: int, path: Path) -> NDArray[np.bool_]:
    """The bits of one piece of a mask. Raises CodecError for a set padding bit."""
    if count % 8 and packed[-1] >> count % 8:
        raise broken(str(path), "a padding bit is set")
    return np.unpackbits(packed, count=count, bitorder="little").view(np.bool_)


def _require_head(path: Path, found: bytes, expected: bytes) -> None:
    if found != expected:
        raise unexpected(path, found, expected)


def shapes_in(path: Path, sha256: str) -> dict[str, tuple[int, ...]]:
    """The parameters that a mask or merge-state file covers, and their shapes, by its head alone.

    Raises AlteredError, CodecError. That all of the file is what was recorded, whoever reads it
    for its content finds out.
    """
    file = PieceReader(path, sha256)
    with file.explained():
        return shapes_of(file.head(), path)
