"""Adding and removing contributors on files, block by block: S ← S ± Σ τ and C ← C ± Σ m.

This is `MergeState.add`, `subtract` and `rebuild` for models of any size: the same bytes
(`tests/sift_core/test_merge_update.py`), but every file is read once, front to back, and memory
depends neither on the number of vectors nor on the size of the model. One pass over the bytes does
all: read, check, hash, add up, digest, write.

Signs are shared by all vectors, so magnitudes are summed first and given their sign once. A
magnitude is below 2^40: of up to 2^11 vectors, sums and counts go together in one integer, and
adding up costs what it cost without counts.

How wide the file's integers are is known once all of them are. A pass that guessed wrong is made
again: the guess is what they were before, so that happens where a threshold is crossed.
"""

import hashlib
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import reduce
from itertools import repeat
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sift_bytes import draft
from sift_core.background import Lane
from sift_core.block_reader import (
    StateReader,
    StoredState,
    StoredVector,
    VectorReader,
    state_blocks,
)
from sift_core.blocks import Block, blocks, in_cache, joined
from sift_core.digest import LANES, as_integers, digest_of
from sift_core.errors import GridOverflowError, MiscountError
from sift_core.file_header import Kind
from sift_core.fixed_point import LARGEST_INTEGER, LARGEST_SUM
from sift_core.merge_file import Widths, pack
from sift_core.signs import SignVector
from sift_core.totals import Totals, require_totals, width_of

_WORKERS = min(4, os.cpu_count() or 1)
"""Threads that add vectors up; each holds one block of sums."""

_COUNTED = 52
"""In one integer, magnitudes take the bits below this one, and counts those from it on."""
_AT_ONCE = 2**11 - 1
"""Of so many vectors, neither sums nor counts leave their bits."""
_COUNT = np.int32
"""Counts of a change: as many vectors as may change at once are fewer than 2^31."""

Watch = Callable[[list[Block]], Iterable[Block]]
"""Passes blocks on, and sees thereby how far the work is."""


class Hasher(Protocol):
    """What `hashlib` makes."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """The hash of all bytes so far."""


@dataclass(frozen=True)
class UpdatedState:
    """A merge state that `update_state` wrote as `<folder>/<sha256>.safetensors`."""

    path: Path
    sha256: str
    size: int
    members: int
    also: tuple[str, ...]
    """The other hashes of the file that were asked for."""
    digest: tuple[int, ...]
    """The linear digest of the new state, computed from it."""


def update_state(
    kind: Kind,
    before: StoredState | None,
    add: Sequence[StoredVector],
    subtract: Sequence[StoredVector],
    digest_seed: int,
    folder: Path,
    hashers: Sequence[Callable[[], Hasher]] = (),
    watch: Watch = iter,
) -> UpdatedState:
    """Write the merge state that is `before` (None: that of nobody) and the vectors make.

    The file has its name only when every input was the bytes recorded for it, in canonical form,
    and every sum and count one that its members can leave; until then nothing changes. `hashers`
    make more hashes of the file beside the rest of the work.
    Cost is O(entries) for the state and for each vector that is named, whoever else is a member.
    Raises AlteredError, CodecError, MismatchError, GridOverflowError, MiscountError, OSError.
    """
    widths, needed = None, _widths_of(kind, before)
    while widths != needed:
        widths = needed
        update = _Update(kind, before, add, subtract, watch)
        with draft(folder) as file:
            hashing = [hashlib.sha256(), *(make() for make in hashers)]
            digest = _Digest(digest_seed)
            needed = _write(
                update, widths, [*(each.update for each in hashing), file.write], digest
            )
            sha256, *also = (each.hexdigest() for each in hashing)
            path = folder / f"{sha256}.safetensors"
            if needed == widths:
                file.keep(path)
    return UpdatedState(path, sha256, file.size, update.members, tuple(also), digest.lanes)


def rebuilt_sha256(kind: Kind, vectors: Sequence[StoredVector], watch: Watch = iter) -> str:
    """The SHA-256 of the merge state of exactly these vectors: the gold check, writing nothing.

    Raises AlteredError, CodecError, MismatchError, GridOverflowError.
    """
    widths, needed = None, Widths()
    while widths != needed:
        widths, sha256 = needed, hashlib.sha256()
        needed = _write(_Update(kind, None, vectors, (), watch), widths, [sha256.update])
    return sha256.hexdigest()


def _write(
    update: "_Update",
    widths: Widths,
    writers: Sequence[Callable[[bytes | memoryview], object]],
    digest: "_Digest | None" = None,
) -> Widths:
    """Hand the file in these widths to all writers; those that it needs.

    It ends early, of no use, where they have no room.
    """
    needed = Widths()
    with ExitStack() as stack:
        lanes = [stack.enter_context(Lane(writer)) for writer in writers]
        digesting = None if digest is None else stack.enter_context(Lane(digest.take))
        for lane in lanes:
            lane.put(update.kind.head_of_state(widths))
        for block, totals in update.blocks():
            needed |= Widths.of(totals)
            if widths | needed != widths:
                return widths | needed
            if digesting is not None:
                digesting.put(block, totals)
            data = pack(block, totals, widths).data
            for lane in lanes:
                lane.put(data)
    return needed


def _widths_of(kind: Kind, before: StoredState | None) -> Widths:
    return Widths() if before is None else StateReader(before, kind).widths


def stored_digest(kind: Kind, state: StoredState, seed: int) -> tuple[int, ...]:
    """The linear digest of a merge-state file.

    Raises AlteredError, CodecError, MismatchError, GridOverflowError, MiscountError.
    """
    digest = _Digest(seed)
    for block, totals in state_blocks(kind, state):
        digest.take(block, totals)
    return digest.lanes


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
    digest, entries, nonzero = _Digest(digest_seed), 0, 0
    for block, totals in _Update(kind, None, [vector], ()).blocks():
        digest.take(block, totals)
        entries += block.entries
        nonzero += int(np.count_nonzero(totals.sums))
    return InspectedVector(digest.lanes, entries, nonzero)


@dataclass(frozen=True)
class _Update:
    """A merge state and the vectors that come and go."""

    kind: Kind
    before: StoredState | None
    add: Sequence[StoredVector]
    subtract: Sequence[StoredVector]
    watch: Watch = iter

    @property
    def members(self) -> int:
        """T afterwards."""
        was = 0 if self.before is None else self.before.members
        return was + len(self.add) - len(self.subtract)

    def blocks(self) -> Iterator[tuple[Block, Totals]]:
        """The new totals, block by block.

        They count only when the iterator has come to its end: then all files were as recorded.
        """
        changing = len(self.add) + len(self.subtract)
        if changing > LARGEST_SUM // LARGEST_INTEGER:
            raise GridOverflowError(
                f"{changing} vectors at the grid's limit could leave ±2^62.",
                remedy=f"change at most {LARGEST_SUM // LARGEST_INTEGER} vectors at once.",
            )
        state = None if self.before is None else StateReader(self.before, self.kind)
        readers = [(VectorReader(vector, self.kind), 1) for vector in self.add]
        readers += [(VectorReader(vector, self.kind), -1) for vector in self.subtract]
        shards = [readers[first::_WORKERS] for first in range(min(_WORKERS, len(readers) or 1))]
        with ThreadPoolExecutor(_WORKERS) as pool:
            side_by_side = pool.map if len(shards) > 1 else map  # one alone needs no thread
            for block in self.watch(list(blocks(self.kind.shapes))):
                change = _sum(side_by_side(_total, shards, repeat(block)))
                np.multiply(change.sums, _signs(block, self.kind.sign_seed), out=change.sums)
                totals = change if state is None else _sum([state.take(block), change])
                try:
                    require_totals(block, totals, self.members)
                except (GridOverflowError, MiscountError):
                    if state is not None:
                        state.require_recorded()
                    for reader, _ in readers:
                        reader.require_recorded()
                    raise
                yield block, totals
        if state is not None:
            state.finish()
        for reader, _ in readers:
            reader.finish()


def _total(readers: Sequence[tuple[VectorReader, int]], block: Block) -> Totals:
    """Σ ±|τ| and Σ ±m over some vectors for one block."""
    found: list[Totals] = []
    for direction in (1, -1):
        own = [reader for reader, theirs in readers if theirs == direction]
        groups = (own[first : first + _AT_ONCE] for first in range(0, len(own), _AT_ONCE))
        found += (_group(group, direction, block) for group in groups)
    return _sum(found or [_group([], 1, block)])


def _group(readers: Sequence[VectorReader], direction: int, block: Block) -> Totals:
    """The same over so few vectors that sum and count fit in one integer, all of one direction."""
    if len(readers) == 1:
        return _single(readers[0], direction, block)
    import torch  # a second to import, and a plan or a refusal adds nothing up

    both = np.zeros(block.entries, np.int64)
    total = torch.from_numpy(both)
    for reader in readers:
        moved, integers = reader.take(block)
        integers |= 1 << _COUNTED
        where = torch.from_numpy(np.flatnonzero(moved))
        total.scatter_add_(0, where, torch.from_numpy(integers))
    counts = (both >> _COUNTED).astype(_COUNT)
    both &= (1 << _COUNTED) - 1
    if direction < 0:
        np.negative(both, out=both)
        np.negative(counts, out=counts)
    return Totals(both, counts)


def _single(reader: VectorReader, direction: int, block: Block) -> Totals:
    """The same of one vector, as nearly every opt-out has it: there is nothing to add up."""
    moved, integers = reader.take(block)
    sums = np.zeros(block.entries, width_of(int(integers.max(initial=0))))
    sums[np.flatnonzero(moved)] = integers
    counts = moved.view(np.int8)
    if direction < 0:
        np.negative(sums, out=sums)
        np.negative(counts, out=counts)
    return Totals(sums, counts)


def _sum(parts: Iterable[Totals]) -> Totals:
    """The sum of some totals."""
    return reduce(operator.add, parts)


def _signs(block: Block, seed: int) -> NDArray[np.int8]:
    """v for one block: +1 or −1, int8 of shape (entries,)."""
    signs = SignVector(seed)
    positive = [signs.between(piece.name, piece.start, piece.stop) for piece in block.pieces]
    return joined(positive).view(np.int8) * np.int8(2) - np.int8(1)


class _Digest:
    """The linear digest of totals that come block by block."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._lanes = np.zeros(LANES, np.uint64)

    def take(self, block: Block, totals: Totals) -> None:
        """Add one block."""
        for piece, span in block.spans():
            own = totals[span]
            for part in in_cache(len(piece)):
                entries = own[part].digest_input()
                self._lanes += digest_of(piece.name, piece.start + part.start, entries, self._seed)

    @property
    def lanes(self) -> tuple[int, ...]:
        """Of what was taken so far."""
        return as_integers(self._lanes)
