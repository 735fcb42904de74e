"""Adding and removing contributors on files: S ← S + Σ τ_added − Σ τ_removed, block by block.

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
from itertools import cycle, repeat
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sift_core.blocks import Block, blocks
from sift_core.digest import LANES, as_integers, digest_of_rows
from sift_core.errors import GridOverflowError
from sift_core.files import draft
from sift_core.grid import LARGEST_INTEGER
from sift_core.kind import Kind
from sift_core.lane import Lane
from sift_core.merge import LARGEST_SUM, require_in_range
from sift_core.signs import SignVector
from sift_core.stored import StateReader, StoredState, StoredVector, VectorReader

_WORKERS = min(4, os.cpu_count() or 1)
"""Threads that add vectors up; each holds one block of sums."""

Watch = Callable[[list[Block]], Iterable[Block]]
"""Passes blocks on, and sees thereby how far the work is."""

Taker = Callable[[Block, NDArray[np.int64]], None]
"""Does something with the new sums and the change of each block."""


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
    takers: Sequence[Taker] = (),
    watch: Watch = iter,
) -> UpdatedState:
    """Write the merge state that is `before` (None: the empty sum) and the vectors make.

    The file has its name only when every input was the bytes recorded for it, in canonical form,
    and every sum in range; until then nothing changes. `hashers` are fed the file's bytes, `takers`
    each block with its new sums and change (`updated_blocks`), beside the rest of the work.
    Cost is O(entries) for the state and for each vector that is named, whoever else is a member.
    Raises AlteredError, CodecError, MismatchError, GridOverflowError, OSError.
    """
    head = kind.head_of_state()
    sha256 = hashlib.sha256()
    digests = [_Digests(digest_seed) for _ in range(_WORKERS)]
    with draft(folder) as file:
        with ExitStack() as stack:
            writers = (sha256.update, *(hasher.update for hasher in hashers), file.write)
            lanes = [stack.enter_context(Lane(writer)) for writer in writers]
            taking = [stack.enter_context(Lane(taker)) for taker in takers]
            digesting = cycle([stack.enter_context(Lane(digest.take)) for digest in digests])
            for lane in lanes:
                lane.put(head)
            for block, rows in updated_blocks(kind, before, add, subtract, watch):
                for lane in (next(digesting), *taking):
                    lane.put(block, rows)
                for lane in lanes:
                    lane.put(rows[0].view(np.uint8).data)
        path = folder / f"{sha256.hexdigest()}.safetensors"
        file.keep(path)
    after, change = np.stack([digest.lanes for digest in digests]).sum(axis=0)
    return UpdatedState(path, path.stem, file.size, as_integers(after), as_integers(change))


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
    digest = _Digests(seed)
    for block, rows in updated_blocks(kind, state, (), ()):
        digest.take(block, rows)
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
    shards = [readers[first::_WORKERS] for first in range(min(_WORKERS, len(readers)))]
    with ThreadPoolExecutor(_WORKERS) as pool:
        for block in watch(list(blocks(kind.shapes))):
            rows = np.zeros((2, block.entries), np.int64)
            sums, change = rows
            for total in pool.map(_total, shards, repeat(block)):
                change += total
            change *= _signs(block, kind.sign_seed)
            if state is not None:
                sums += state.take(block)
                _require_in_range(block, sums)
            sums += change
            _require_in_range(block, sums)
            yield block, rows
    if state is not None:
        state.finish()
    for reader, _ in readers:
        reader.finish()


def _total(readers: Sequence[tuple[VectorReader, int]], block: Block) -> NDArray[np.int64]:
    """Σ ±|τ| over some vectors for one block."""
    total = torch.zeros(block.entries, dtype=torch.int64)
    for reader, direction in readers:
        where, integers = reader.take(block)
        total.index_add_(0, torch.from_numpy(where), torch.from_numpy(integers), alpha=direction)
    return total.numpy()


def _signs(block: Block, seed: int) -> NDArray[np.int8]:
    """v for one block: +1 or −1, int8 of shape (entries,)."""
    signs = SignVector(seed)
    positive = [signs.between(piece.name, piece.start, piece.stop) for piece in block.pieces]
    return np.concatenate(positive).view(np.int8) * np.int8(2) - np.int8(1)


def _require_in_range(block: Block, sums: NDArray[np.int64]) -> None:
    for piece, span in block.spans():
        require_in_range(piece.name, sums[span])


class _Digests:
    """The linear digests of the new sums and of the change, for the blocks of one lane."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.lanes = np.zeros((2, LANES), np.uint64)

    def take(self, block: Block, rows: NDArray[np.int64]) -> None:
        """Add one block."""
        for piece, span in block.spans():
            self.lanes += digest_of_rows(piece.name, piece.start, rows[:, span], self._seed)
