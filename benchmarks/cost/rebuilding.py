"""What TALL masks, EMR and TIES must do when member 0 of T leaves, from the same stored vectors.

Two ways. *Rebuilt*: sums, masks and merges again from the vectors of who stays, which alone gives
what a peer that never saw the leaver would have: floats cannot be subtracted to the bit. *Granted*:
whatever a peer could keep instead is kept, its float32 sum, renewed by one subtraction, and for
TIES the trimmed vectors; close to a model without the leaver, and not the same.

Peers read files with the reader that we use, because a file that is not checked must not be merged
by anyone.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.cost import peers
from benchmarks.cost.measuring import Usage, measured, typical
from benchmarks.cost.peers import Bits, Vector
from benchmarks.cost.stage import GRID, SIGN_SEED, TIES_KEEPS, Stage, trim_edge
from sift_core import Mask, SignVector, TaskVector

TALL_STRICTNESS = 0.4
"""λ in the middle of the TALL paper's grid; cost does not depend on it."""


class Reader:
    """Members' vectors as flat float32 of shape (d,), in the order of parameter names."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        signs = SignVector(SIGN_SEED)
        unit = np.float32(GRID.scale() * 2**24)
        self._signed_unit = np.concatenate(
            [
                np.where(signs.positive(name, shape).reshape(-1), unit, -unit)
                for name, shape in sorted(stage.shapes.items())
            ]
        )

    def one(self, member: int, kind: str = "whole") -> Vector:
        """One member's vector, `whole` or `trimmed` as TIES could keep it."""
        return self.dense(self.stage.read(member, kind))

    def all(self, members: Iterable[int], kind: str = "whole") -> Iterator[Vector]:
        """Members' vectors, one at a time."""
        return (self.one(member, kind) for member in members)

    def total(self, members: int, kind: str) -> Vector:
        """Σ τ_t of the first members, which a peer keeps."""
        total: Vector = np.zeros(self.stage.entries, np.float32)
        for member in range(min(members, self.stage.distinct)):
            copies = len(range(member, members, self.stage.distinct))
            total += np.float32(copies) * self.one(member, kind)
        return total

    def dense(self, vector: TaskVector, edge: np.float16 | None = None) -> Vector:
        """A vector; entries with a magnitude below `edge` as 0."""
        flat: Vector = np.zeros(self.stage.entries, np.float32)
        for name, part in _parts(self.stage):
            magnitudes = vector.magnitudes[name]
            if edge is not None:
                magnitudes = np.where(magnitudes >= edge, magnitudes, np.float16(0))
            flat[part][vector.mask.bits[name].reshape(-1)] = magnitudes
        flat *= self._signed_unit
        return flat


def tall(reader: Reader, members: int, target: Path, total: Vector | None) -> None:
    """The sum and all masks. `total` is the sum with the leaver, where it is granted."""
    left = _sum_without(reader, members, total)
    for vector in reader.all(range(1, members)):
        _write_mask(reader.stage, target, peers.tall_mask(vector, left, TALL_STRICTNESS))
    _write(target / "sum", left)


def emr(reader: Reader, members: int, target: Path, total: Vector | None) -> None:
    """The unified vector, all masks and rescalers."""
    stay = range(1, members)
    unified = peers.emr_unified(reader.all(stay), _sum_without(reader, members, total))
    rescalers = []
    for vector in reader.all(stay):
        mask, rescaler = peers.emr_mask(vector, unified)
        rescalers.append(rescaler)
        _write_mask(reader.stage, target, mask)
    _write(target / "unified", unified)
    _write(target / "rescalers", np.array(rescalers, np.float32))


def ties(reader: Reader, members: int, target: Path, total: Vector | None) -> None:
    """The merged vector; where the trimmed sum is granted, so are the trimmed vectors."""
    stay = range(1, members)
    if total is not None:
        left = total - reader.one(0, "trimmed")
        merged = peers.ties_merged(reader.all(stay, "trimmed"), left)
    else:
        left = np.zeros(reader.stage.entries, np.float32)
        edges = {}
        for member in stay:
            vector = reader.stage.read(member)
            edges[member] = trim_edge(vector, TIES_KEEPS)
            left += reader.dense(vector, edges[member])
        again = (reader.dense(reader.stage.read(member), edges[member]) for member in stay)
        merged = peers.ties_merged(again, left)
    _write(target / "merged", merged)


Rule = Callable[[Reader, int, Path, Vector | None], None]
PEERS: dict[str, Rule] = {"TALL": tall, "EMR": emr, "TIES": ties}


def usages(
    stage: Stage, name: str, sizes: Sequence[int], granted: bool, rounds: int
) -> dict[int, Usage]:
    """What a peer typically takes to remove one of so many, in `rounds` turns."""
    reader, target = Reader(stage), stage.fresh(name)
    kind = "trimmed" if name == "TIES" else "whole"
    totals = {members: reader.total(members, kind) if granted else None for members in sizes}
    found: dict[int, list[Usage]] = {members: [] for members in sizes}
    for _ in range(rounds):
        for members, total in totals.items():
            _, usage = measured(PEERS[name], reader, members, target, total)
            found[members].append(usage)
    return {members: typical(taken) for members, taken in found.items()}


def _sum_without(reader: Reader, members: int, total: Vector | None) -> Vector:
    if total is not None:
        left: Vector = total - reader.one(0)
        return left
    left = np.zeros(reader.stage.entries, np.float32)
    for vector in reader.all(range(1, members)):
        left += vector
    return left


def _parts(stage: Stage) -> Iterator[tuple[str, slice]]:
    start = 0
    for name, shape in sorted(stage.shapes.items()):
        end = start + int(np.prod(shape))
        yield name, slice(start, end)
        start = end


def _write_mask(stage: Stage, target: Path, flat: Bits) -> None:
    bits = {name: flat[part].reshape(stage.shapes[name]) for name, part in _parts(stage)}
    # One name for all: hundreds of masks would fill a small disk. Not flushed one by one, either.
    (target / "mask").write_bytes(Mask(bits, SIGN_SEED).to_bytes())


def _write(path: Path, values: NDArray[np.float32]) -> None:
    with path.open("wb") as file:
        file.write(values.data)
        file.flush()
        os.fsync(file.fileno())
