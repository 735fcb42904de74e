"""The files that cost is measured on: contributors' vectors and masks, merge states, θ0.

Sizes and shapes are a real model's; entries are drawn, at the density and magnitudes that
finetuning gives, because cost does not depend on their values. A few vectors are distinct, the
others are hard links to them: five hundred real ones of the 22 M model would take 7 GB.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch as st
import torch
from numpy.typing import NDArray

from sift_bytes import sha256_of, write_atomically
from sift_core import (
    Grid,
    Kind,
    Mask,
    MergeState,
    StoredState,
    StoredVector,
    TaskVector,
    read_vector,
)

Shapes = Mapping[str, tuple[int, ...]]

SIGN_SEED = 0
DIGEST_SEED = 0
GRID = Grid(24)
_TYPICAL_MAGNITUDE = 4e-4
TIES_KEEPS = 0.2
"""TIES trims each vector to its largest fifth."""


@dataclass(frozen=True)
class Stage:
    """A folder of made-up contributors 0 … `members` − 1, of which `distinct` differ."""

    folder: Path
    shapes: dict[str, tuple[int, ...]]
    members: int
    distinct: int
    recorded: dict[str, str]
    """SHA-256 of files by name, as lineage would have them; of links by what they link to."""

    @property
    def kind(self) -> Kind:
        """What all files here have in common."""
        return Kind(self.shapes, GRID, SIGN_SEED)

    @property
    def entries(self) -> int:
        """d, the entries of a task vector."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    @property
    def largest(self) -> int:
        """The entries of the largest parameter."""
        return max(int(np.prod(shape)) for shape in self.shapes.values())

    @property
    def base(self) -> Path:
        """θ0 of the trained parameters, float32."""
        return self.folder / "base.safetensors"

    def mask(self, member: int, kind: str = "whole") -> Path:
        """The mask of a member; `kind` is `whole`, or `trimmed` as TIES would keep it."""
        return self.folder / kind / f"{member:04}.mask"

    def vector(self, member: int, kind: str = "whole") -> Path:
        """The magnitudes of a member, likewise."""
        return self.folder / kind / f"{member:04}.vector"

    def state_file(self, members: int) -> Path:
        """The merge state of the first `members` contributors."""
        return self.folder / f"state-{members}.safetensors"

    def state(self, members: int) -> StoredState:
        """The same as lineage knows it."""
        path = self.state_file(members)
        return StoredState(path, self.recorded[path.name], members)

    def stored(self, member: int, kind: str = "whole") -> StoredVector:
        """A member's vector and mask as lineage knows them."""
        vector, mask = self.vector(member, kind), self.mask(member, kind)
        original = member % self.distinct
        recorded = (
            self.recorded[f"{kind}/{path(original, kind).name}"]
            for path in (self.vector, self.mask)
        )
        return StoredVector(vector, mask, *recorded)

    @property
    def about(self) -> str:
        """What is real and what is not, for the `detail` of a figure."""
        return (
            f"{self.members} contributors' files with drawn entries in real shapes, "
            f"{self.distinct} of them distinct, the others hard links"
        )

    def fresh(self, name: str) -> Path:
        """An empty folder of the stage, for what a job writes."""
        folder = self.folder / "out" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def files(self, members: Iterable[int]) -> list[Path]:
        """The files of some members."""
        return [path for member in members for path in (self.mask(member), self.vector(member))]

    def read(self, member: int, kind: str = "whole") -> TaskVector:
        """Read and check a member's two files."""
        return read_vector(self.stored(member, kind))


def make_stage(
    folder: Path, shapes: Shapes, members: int, distinct: int, density: float = 0.5
) -> Stage:
    """Draw and write a stage with the states of 8 and of all members; `folder` must be empty."""
    stage = Stage(folder, dict(shapes), members, min(distinct, members), {})
    random = np.random.Generator(np.random.PCG64(0))
    for kind in ("whole", "trimmed"):
        (folder / kind).mkdir(parents=True)
    states = {
        count: MergeState.zero(shapes, GRID, SIGN_SEED) for count in {min(8, members), members}
    }
    for member in range(stage.distinct):
        vector = _draw(shapes, random, density)
        for kind, form in (("whole", vector), ("trimmed", trimmed(vector, TIES_KEEPS))):
            mask_file, vector_file = stage.mask(member, kind), stage.vector(member, kind)
            stage.recorded[f"{kind}/{mask_file.name}"] = _write(mask_file, form.mask)
            stage.recorded[f"{kind}/{vector_file.name}"] = _write(vector_file, form)
        for name, integers in vector.integers():
            for count, state in states.items():
                times = len(range(member, count, stage.distinct))
                state.sums[name] += integers * times
                state.counts[name] += np.uint32(times) * vector.mask.bits[name]
    for kind in ("whole", "trimmed"):
        for member in range(stage.distinct, members):
            os.link(stage.mask(member % stage.distinct, kind), stage.mask(member, kind))
            os.link(stage.vector(member % stage.distinct, kind), stage.vector(member, kind))
    for count, state in states.items():
        stage.recorded[stage.state_file(count).name] = _write(stage.state_file(count), state)
    base = {name: torch.from_numpy(_normal(random, shape)) for name, shape in shapes.items()}
    st.save_file(base, stage.base)
    return stage


def trim_edge(vector: TaskVector, keep: float) -> np.float16:
    """The magnitude from which on an entry is among the largest `keep` of all entries."""
    everything = np.concatenate(list(vector.magnitudes.values()))
    kept = min(everything.size, round(keep * vector.mask.entries))
    ordered = everything.view(np.uint16)  # positive floats are in the order of their bits
    edge = np.partition(ordered, everything.size - kept)[everything.size - kept]
    return np.float16(edge.view(np.float16))


def trimmed(vector: TaskVector, keep: float) -> TaskVector:
    """The largest `keep` of all entries of a vector, as TIES trims; ties at the edge stay."""
    edge = trim_edge(vector, keep)
    bits, magnitudes = {}, {}
    for name, whole in vector.mask.bits.items():
        stays = vector.magnitudes[name] >= edge
        bits[name] = whole.copy()
        bits[name][whole] = stays
        magnitudes[name] = vector.magnitudes[name][stays]
    return TaskVector(Mask(bits, vector.mask.sign_seed), magnitudes, vector.grid)


def _draw(shapes: Shapes, random: np.random.Generator, density: float) -> TaskVector:
    bits, magnitudes = {}, {}
    for name, shape in shapes.items():
        bits[name] = np.asarray(random.random(shape, np.float32) < density)
        count = int(np.count_nonzero(bits[name]))
        sizes = random.standard_exponential(count, np.float32) * _TYPICAL_MAGNITUDE
        magnitudes[name] = np.maximum(sizes, GRID.scale()).astype(np.float16)
    return TaskVector(Mask(bits, SIGN_SEED), magnitudes, GRID)


def _normal(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.asarray(random.standard_normal(shape, np.float32) * np.float32(0.05))


def _write(path: Path, content: Mask | TaskVector | MergeState) -> str:
    data = content.to_bytes()
    write_atomically(path, data)
    return sha256_of(data)
