"""Adding and removing contributors on files: S ← S + Σ τ_added − Σ τ_removed, block by block.

This is `MergeState.add`, `subtract` and `rebuild` for models of any size: the same bytes
(`tests/sift_core/test_merge_update.py`), but every file is read once, front to back, and memory
depends neither on the number of vectors nor on the size of the model. One pass over the bytes does
all: read, check, hash, add up, digest, write.

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

from sift_bytes import draft
from sift_core.background import Lane
from sift_core.block_reader import (
    StateReader,
    StoredState,
    StoredVector,
    VectorReader,
    require_sums_in_range,
    state_blocks,
)
from sift_core.blocks import Block, blocks
from sift_core.digest import LANES, as_integers, digest_of_rows
from sift_core.errors import GridOverflowError
from sift_core.file_header import Kind
from sift_core.fixed_point import LARGEST_INTEGER, LARGEST_SUM
from sift_core.signs import SignVector

_WORKERS = min(4, os.cpu_count() or 1)
"""Threads that add vectors up; each holds one block of sums."""

Watch = Callable[[list[Block]], Iterable[Block]]
"""Passes blocks on, and sees thereby how far the work is."""


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
    and every sum in range; until then nothing changes. `hashers` are fed the file's bytes beside
    the rest of the work.
    Cost is O(entries) for the state and for each vector that is named, whoever else is a member.
    Raises AlteredError, CodecError, MismatchError, GridOverflowError, OSError.
    """
    head = kind.head_of_state()
    sha256 = hashlib.sha256()
    digests = _Digests(digest_seed)
    with draft(folder) as file:
        with ExitStack() as stack:
            writers = (sha256.update, *(hasher.update for hasher in hashers), file.write)
            lanes = [stack.enter_context(Lane(writer)) for writer in writers]
            digesting = stack.enter_context(Lane(digests.take))
            for lane in lanes:
                lane.put(head)
            for block, rows in updated_blocks(kind, before, add, subtract, watch):
                digesting.put(block, rows)
                for lane in lanes:
                    lane.put(rows[0].view(np.uint8).data)
        path = folder / f"{sha256.hexdigest()}.safetensors"
        file.keep(path)
    after, change = (as_integers(lanes) for lanes in digests.lanes)
    return UpdatedState(path, path.stem, file.size, after, change)


def rebuilt_sha256(kind: Kind, vectors: Sequence[StoredVector], watch: Watch = iter) -> str:
    """The SHA-256 of the merge state of exactly these vectors: the gold check, writing nothing.

    Raises AlteredError, CodecError, MismatchError, GridOverflowError.
    """
    sha256 = hashlib.sha256(kind.head_of_state())
    for _, rows in updated_blocks(kind, None, vectors, (), watch):
        sha256.update(rows[0].data)
    return sha256.hexdigest()


def stored_digest(kind: Kind, state: StoredState, seed: int) -> tuple[int, ...]:
    """The linear digest of a merge-state file. Raises AlteredError, CodecError, MismatchError."""
    digest = _Digests(seed, rows=1)
    for block, sums in state_blocks(kind, state):
        digest.take(block, sums.reshape(1, -1))
    return as_integers(digest.lanes[0])


@dataclass(frozen=True)
class InspectedVector:
    """A stored vector that has passed every check: its linear digest, entries and non-zero ones."""

    digest: tuple[int, ...]
    entries: int
    nonzero: int


def inspect_vector(kind: Kind, vector: StoredVector, digest_seed: int) -> InspectedVector:
    """Read all of a vector and its mask as strictly as merging does; what there is to record of it.

    Bounded memory, nothing is written: for files that came from somewhere nobody trusts. Raises
    AlteredError, CodecError, MismatchError.
    """
    digests, entries, nonzero = _Digests(digest_seed), 0, 0
    for block, rows in updated_blocks(kind, None, [vector], ()):
        digests.take(block, rows)
        entries += block.entries
        nonzero += int(np.count_nonzero(rows[1]))
    return InspectedVector(as_integers(digests.lanes[1]), entries, nonzero)


def updated_blocks(
    kind: Kind,
    before: StoredState | None,
    add: Sequence[StoredVector],
    subtract: Sequence[StoredVector],
    watch: Watch = iter,
) -> Iterator[tuple[Block, NDArray[np.int64]]]:
    """The new sums and the change, block by block: int64 of shape (2, entries of the block).

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
    shards = [readers[first::_WORKERS] for first in range(min(_WORKERS, len(readers) or 1))]
    with ThreadPoolExecutor(_WORKERS) as pool:
        side_by_side = pool.map if len(shards) > 1 else map  # one alone is quicker without a thread
        for block in watch(list(blocks(kind.shapes))):
            rows = np.empty((2, block.entries), np.int64)
            sums, change = rows
            # The first shard adds up in place, the others beside it.
            places = [change, *(np.empty_like(change) for _ in shards[1:])]
            for total in [*side_by_side(_total, shards, repeat(block), places)][1:]:
                change += total
            change *= _signs(block, kind.sign_seed)
            if state is None:
                sums[:] = change
            else:
                np.add(state.take(block), change, out=sums)
            require_sums_in_range(block, sums)
            yield block, rows
    if state is not None:
        state.finish()
    for reader, _ in readers:
        reader.finish()


def _total(
    readers: Sequence[tuple[VectorReader, int]], block: Block, place: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Σ ±|τ| over some vectors for one block, in `place`."""
    place[:] = 0
    total = torch.from_numpy(place)
    for reader, direction in readers:
        where, integers = reader.take(block)
        total.index_add_(0, torch.from_numpy(where), torch.from_numpy(integers), alpha=direction)
    return place


def _signs(block: Block, seed: int) -> NDArray[np.int8]:
    """v for one block: +1 or −1, int8 of shape (entries,)."""
    signs = SignVector(seed)
    positive = [signs.between(piece.name, piece.start, piece.stop) for piece in block.pieces]
    return np.concatenate(positive).view(np.int8) * np.int8(2) - np.int8(1)


class _Digests:
    """The linear digests of some tensors that come block by block: new sums, say, and change."""

    def __init__(self, seed: int, rows: int = 2) -> None:
        self._seed = seed
        self.lanes = np.zeros((rows, LANES), np.uint64)

    def take(self, block: Block, rows: NDArray[np.int64]) -> None:
        """Add one block."""
        for piece, span in block.spans():
            self.lanes += digest_of_rows(piece.name, piece.start, rows[:, span], self._seed)
