"""The finetunings, each done once and kept: every row of every table is made from them.

Kept per contributor: the ordinary float32 task vector, the sign-fixed one in float32 as the paper
has it, and the sign-fixed one on the grid as we store it. All from the same base, rows, seed and
number of steps.
"""

import json
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch

import sift_bytes
from benchmarks.fidelity.population import Population
from benchmarks.fidelity.settings import Experiment
from benchmarks.merging_rules import Vector
from sift_core import Encoded, Grid, Mask, SignVector, TaskVector
from sift_core.finetuning import finetuned
from sift_core.serving import Weights

Kind = Literal["ordinary", "sign-fixed"]
KINDS: tuple[Kind, ...] = ("ordinary", "sign-fixed")
"""How a contributor is finetuned alone."""


@dataclass(frozen=True)
class Finetunings:
    """The kept task vectors below a folder. Flat vectors hold parameters in order of name."""

    folder: Path
    population: Population
    experiment: Experiment
    strictness: dict[tuple[str, ...], float] = field(default_factory=dict)
    """What TALL's tuning found for these members: Consensus takes it over."""

    # ---- making --------------------------------------------------------------------------------

    def alone(self, kinds: Collection[Kind] = KINDS) -> Iterator[str]:
        """Finetune every contributor alone, in each of these ways; yields who is done."""
        for name in self.population.names:
            if "ordinary" in kinds and not self._ordinary(name).is_file():
                rows = self.population.train[name]
                self._run(self._ordinary(name), rows, contributors=1)
            if "sign-fixed" in kinds and not self._vector(name).is_file():
                self._sign_fixed(name)
            yield name

    def central(self, names: Sequence[str]) -> Vector:
        """One finetuning on the rows of all of these, with the sum of their budgets."""
        population = self.population
        digest = sift_bytes.sha256_of("\n".join(sorted(names)).encode())[:16]
        path = self.folder / "central" / f"{len(names)}-{digest}.npy"
        if not path.is_file():
            records = [own for name in sorted(names) for own in population.train[name].records]
            pooled = population.train[names[0]].of(records)
            self._run(path, pooled, contributors=len(names))
        return _open(path)

    def _sign_fixed(self, name: str) -> None:
        signs = SignVector(self.experiment.sign_seed)
        base, started = self.population.base, time.monotonic()
        settings = self.experiment.finetuning.of(1)
        with finetuned(base, self.population.train[name], settings, signs) as losses:
            vector = TaskVector.between(
                base.trainable, base.parameters(), signs, Grid(self.experiment.grid_bits)
            )
            _save(self._float(name), self._moved())
        sift_bytes.write_atomically(self._mask(name), vector.mask.to_bytes())
        sift_bytes.write_atomically(self._vector(name), vector.to_bytes())
        self._note(self._vector(name), losses, started)

    def _run(self, path: Path, rows: Encoded, contributors: int) -> None:
        started = time.monotonic()
        settings = self.experiment.finetuning.of(contributors)
        with finetuned(self.population.base, rows, settings, signs=None) as losses:
            _save(path, self._moved())
        self._note(path, losses, started)

    @torch.no_grad()
    def _moved(self) -> Vector:
        base, live = self.population.base.trainable, self.population.base.parameters()
        moved = [(live[name] - base[name]).reshape(-1).cpu() for name in sorted(base)]
        return torch.cat(moved).numpy()

    def _note(self, path: Path, losses: list[float], started: float) -> None:
        note = {
            "what": path.relative_to(self.folder).as_posix(),
            "seconds": round(time.monotonic() - started, 2),
            "steps": len(losses),
            "first_loss": losses[0],
            "last_loss": losses[-1],
        }
        with (self.folder / "finetunings.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(note) + "\n")

    # ---- reading -------------------------------------------------------------------------------

    def ordinary(self, names: Sequence[str]) -> list[Vector]:
        """Ordinary task vectors, memory-mapped."""
        return [_open(self._ordinary(name)) for name in names]

    def sign_fixed_floats(self, names: Sequence[str]) -> list[Vector]:
        """Sign-fixed task vectors before rounding to the grid, memory-mapped."""
        return [_open(self._float(name)) for name in names]

    def mask(self, name: str) -> Mask:
        """The stored mask."""
        return Mask.from_bytes(self._mask(name).read_bytes())

    def vector(self, name: str) -> TaskVector:
        """The stored task vector."""
        return TaskVector.from_bytes(self._vector(name).read_bytes(), self.mask(name))

    def weights(self, moved: Vector) -> Weights:
        """θ0 + a flat vector, by parameter."""
        result, start = {}, 0
        for name, base in sorted(self.population.base.trainable.items()):
            own = torch.from_numpy(np.array(moved[start : start + base.numel()]))
            result[name] = base + own.reshape(base.shape).to(base.device)
            start += base.numel()
        return result

    def _ordinary(self, name: str) -> Path:
        return self.folder / "ordinary" / f"{_file(name)}.npy"

    def _float(self, name: str) -> Path:
        return self.folder / "sign-fixed" / f"{_file(name)}.npy"

    def _mask(self, name: str) -> Path:
        return self.folder / "masks" / f"{_file(name)}.safetensors"

    def _vector(self, name: str) -> Path:
        return self.folder / "vectors" / f"{_file(name)}.safetensors"


def _file(name: str) -> str:
    # A contributor's name comes from outside and never becomes a path.
    return sift_bytes.sha256_of(name.encode())[:16]


def _save(path: Path, vector: Vector) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".writing-{path.name}")
    np.save(unfinished, vector)
    unfinished.rename(path)


def _open(path: Path) -> Vector:
    vector: Vector = np.load(path, mmap_mode="r", allow_pickle=False)
    return vector
