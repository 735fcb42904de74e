"""Adding and removing contributors on files: S ← S + Σ τ_added − Σ τ_removed, piece by piece.

This is `MergeState.add`, `subtract` and `rebuild` for models of any size: the same bytes
(`tests/sift_core/test_update.py`), but every file is read once, front to back, and memory depends
neither on the number of vectors nor on the size of the model. One pass over the bytes does all:
read, check, hash, add up, digest, write.

Signs are shared by all vectors, so magnitudes are summed first and given their sign once.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sift_core.digest import LANES, as_integers, digest_of_rows
from sift_core.errors import GridOverflowError
from sift_core.files import draft
from sift_core.grid import LARGEST_INTEGER
from sift_core.kind import Kind
from sift_core.lane import Lane
from sift_core.merge import LARGEST_SUM, require_in_range
from sift_core.pieces import Piece, pieces
from sift_core.signs import SignVector
from sift_core.stored import StateReader, StoredState, StoredVector, VectorReader

_WORKERS = min(4, os.cpu_count() or 1)
"""Threads that add vectors up; each holds one piece of sums."""

Watch = Callable[[list[Piece]], Iterable[Piece]]
"""Passes pieces on, and sees thereby how far the work is."""


class Hasher(Protocol):
    """What `hashlib` makes."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in more bytes."""


@dataclass(frozen=True)
class UpdatedState:
    """A merge state that `update_state` wrote as `<folder>/<sha256>.safetensors`."""

    path: Path
    sha256: str
    size: int
    digest: tuple[int, ...]
    """The linear digest of the new sums, computed from them."""
    change: tuple[int, ...]
    """The linear digest of what was added less what was subtracted, computed from the vectors."""


def update_state(
    kind: Kind,
    before: StoredState | None,
    add: Sequence[StoredVector],
    subtract: Sequence[StoredVector],
    digest_seed: int,
    folder: Path,
    hashers: Sequence[Hasher] = (),
    watch: Watch = iter,
) -> UpdatedState:
    """Write the merge state that is `before` (None: the empty sum) and the vectors make.

    The file has its name only when every input was the bytes recorded for it, in canonical form,
    and every sum in range; until then nothing changes. `hashers` are fed the file's bytes too.
    Cost is O(entries) for the state and for each vector that is named, whoever else is a member.
    Raises AlteredError, CodecError, MismatchError, GridOverflowError, OSError.
    """
    head = kind.head_of_state()
    sha256 = hashlib.sha256()
    digests = np.zeros((2, LANES), np.uint64)

    def digest(piece: Piece, rows: NDArray[np.int64]) -> None:
        digests[:] += digest_of_rows(piece.name, piece.start, rows, digest_seed)

    with draft(folder) as file:
        with ExitStack() as stack:
            takers = (sha256.update, *(hasher.update for hasher in hashers), file.write)
            lanes = [stack.enter_context(Lane(taker)) for taker in takers]
            digesting = stack.enter_context(Lane(digest))
            for lane in lanes:
                lane.put(head)
            for piece, rows in updated_pieces(kind, before, add, subtract, watch):
                digesting.put(piece, rows)
                for lane in lanes:
                    lane.put(rows[0].view(np.uint8).data)
        path = folder / f"{sha256.hexdigest()}.safetensors"
        file.keep(path)
    return UpdatedState(
        path, path.stem, file.size, as_integers(digests[0]), as_integers(digests[1])
    )


def rebuilt_sha256(kind: Kind, vectors: Sequence[StoredVector], watch: Watch = iter) -> str:
    """The SHA-256 of the merge state of exactly these vectors: the gold check, writing nothing.

    Raises AlteredError, CodecError, MismatchError, GridOverflowError.
    """
    sha256 = hashlib.sha256(kind.head_of_state())
    for _, rows in updated_pieces(kind, None, vectors, (), watch):
        sha256.update(rows[0].data)
    return sha256.hexdigest()


def updated_pieces(
    kind: Kind,
    before: StoredState | None,
    add: Sequence[StoredVector],
    subtract: Sequence[StoredVector],
    watch: Watch = iter,
) -> Iterator[tuple[Piece, NDArray[np.int64]]]:
    """The new sums and the change, piece by piece: int64 of shape (2, entries of the piece).

    They count only when the iterator has come to its end: then all files were as recorded.
    """
    if len(add) + len(subtract) > LARGEST_SUM // LARGEST_INTEGER:
        raise GridOverflowError(
            f"{len(add) + len(subtract)} vectors at the grid's limit could leave ±2^62.",
            remedy=f"change at most {LARGEST_SUM // LARGEST_INTEGER} vectors at once.",
        )
    state = None if before is None else StateReader(before, kind)
    readers = [(VectorReader(vector, kind), 1) for vector in add]
    readers += [(VectorReader(vector, kind), -1) for vector in subtract]
    shards = [readers[first::_WORKERS] for first in range(min(_WORKERS, len(readers)))]
    signs = SignVector(kind.sign_seed)
    with ThreadPoolExecutor(_WORKERS) as pool:
        for piece in watch(list(pieces(kind.shapes))):
            rows = np.zeros((2, len(piece)), np.int64)
            sums, change = rows
            for total in pool.map(_total, shards, repeat(piece)):
                change += total
            negative = ~signs.positive_between(piece.name, piece.start, piece.stop)
            np.negative(change, out=change, where=negative)
            if state is not None:
                sums += state.take(piece)
                require_in_range(piece.name, sums)
            sums += change
            require_in_range(piece.name, sums)
            yield piece, rows
    if state is not None:
        state.finish()
    for reader, _ in readers:
        reader.finish()


def _total(readers: Sequence[tuple[VectorReader, int]], piece: Piece) -> NDArray[np.int64]:
    """Σ ±|τ| over some vectors for one piece."""
    total = torch.zeros(len(piece), dtype=torch.int64)
    for reader, direction in readers:
        where, integers = reader.take(piece)
        total.index_add_(0, torch.from_numpy(where), torch.from_numpy(integers), alpha=direction)
    return total.numpy()
