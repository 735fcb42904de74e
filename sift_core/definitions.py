"""The method on whole tensors, as its definitions say it: the merge state, and what is served.

What runs on models of any size (`merge_update`, `serving_blocks`, `serving_offload`) reads its
files block by block; tests hold it against this file, byte for byte.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from sift_core.canonical import MALFORMED, MERGE, broken, decode, encode, require_canonical
from sift_core.errors import MismatchError
from sift_core.fixed_point import Grid, require_in_range
from sift_core.mask import Mask
from sift_core.serving import Weights, served_entries
from sift_core.task_vector import TaskVector


@dataclass(frozen=True)
class MergeState:
    """S as int64 sums per parameter, in units of 2^−grid.bits.

    T, the number of members, is not here: it is derived from lineage, the one place that knows
    who is a member.
    """

    sums: dict[str, NDArray[np.int64]]
    grid: Grid
    sign_seed: int

    def __post_init__(self) -> None:
        for name, sums in self.sums.items():
            require_in_range(name, sums)

    @classmethod
    def zero(
        cls, shapes: Mapping[str, tuple[int, ...]], grid: Grid, sign_seed: int
    ) -> "MergeState":
        """The state of no members."""
        sums = {name: np.zeros(shape, dtype=np.int64) for name, shape in shapes.items()}
        return cls(sums, grid, sign_seed)

    @classmethod
    def rebuild(
        cls,
        vectors: Iterable[TaskVector],
        shapes: Mapping[str, tuple[int, ...]],
        grid: Grid,
        sign_seed: int,
    ) -> "MergeState":
        """S from the stored vectors alone: the gold check. Streams, one vector in memory."""
        state = cls.zero(shapes, grid, sign_seed)
        for vector in vectors:
            state.accumulate(vector)
        return state

    def add(self, vector: TaskVector) -> "MergeState":
        """S + τ as a new state. Raises MismatchError, GridOverflowError."""
        return self._copy().accumulate(vector)

    def subtract(self, vector: TaskVector) -> "MergeState":
        """S − τ as a new state: the bits of a sum that never had τ."""
        return self._copy().accumulate(vector, -1)

    def to_bytes(self) -> bytes:
        """The canonical file: int64 sums."""
        about = {"grid_bits": self.grid.bits, "sign_seed": self.sign_seed}
        return encode(MERGE, self.sums, about)

    @classmethod
    def from_bytes(cls, data: bytes, origin: str = "merge state") -> "MergeState":
        """The merge state in a canonical file; `origin` names it in errors. Raises CodecError."""
        sums, about = decode(MERGE, data, origin)
        for name, values in sums.items():
            if values.dtype != np.int64:
                raise broken(origin, f"{name!r} is {values.dtype}, not int64")
        try:
            state = cls(sums, Grid(int(about["grid_bits"])), int(about["sign_seed"]))
        except MALFORMED as error:
            raise broken(origin, str(error)) from error
        require_canonical(state.to_bytes(), data, origin)
        return state

    def _copy(self) -> "MergeState":
        sums = {name: sums.copy() for name, sums in self.sums.items()}
        return MergeState(sums, self.grid, self.sign_seed)

    def accumulate(self, vector: TaskVector, direction: Literal[1, -1] = 1) -> "MergeState":
        """Add (or subtract) in place and return itself: how a long sum streams."""
        self._require_same_kind(vector)
        for name, integers in vector.integers():
            sums = self.sums[name]
            sums += integers if direction > 0 else -integers
            require_in_range(name, sums)
        return self

    def _require_same_kind(self, vector: TaskVector) -> None:
        ours = {name: sums.shape for name, sums in self.sums.items()}
        theirs = vector.mask.shapes
        if ours != theirs:
            differing = sorted(
                name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
            )
            raise MismatchError(
                f"Vector and merge state differ in {len(differing)} parameters, first "
                f"{differing[0]!r}.",
                remedy="merge only vectors finetuned from the same base with the same settings.",
            )
        if (self.grid, self.sign_seed) != (vector.grid, vector.mask.sign_seed):
            raise MismatchError(
                f"The merge has grid {self.grid.bits} and sign seed {self.sign_seed}, the vector "
                f"grid {vector.grid.bits} and sign seed {vector.mask.sign_seed}.",
                remedy="grid and seed are fixed for a workspace; finetune this contributor again.",
            )


def served_weights(base: Mapping[str, torch.Tensor], state: MergeState, members: int) -> Weights:
    """θ0 + S/T for the parameters of the merge, in the dtype of θ0, on the CPU.

    `members` is T. Raises MismatchError where the base has other parameters than the merge.
    """
    _require_same_names(base, state.sums)
    return {
        name: served_entries(base[name].cpu(), state.sums[name], state.grid, members)
        for name in sorted(base)
    }


def masked_weights(
    base: Mapping[str, torch.Tensor], served: Mapping[str, torch.Tensor], mask: Mask
) -> Weights:
    """θ0 + (m ⊙ S)/T: the served weights where the mask is set, θ0 elsewhere."""
    _require_same_names(base, mask.bits)
    return {
        name: torch.where(torch.from_numpy(mask.bits[name]), served[name], base[name].cpu())
        for name in sorted(base)
    }


def _require_same_names(base: Mapping[str, object], other: Mapping[str, object]) -> None:
    if set(base) != set(other):
        differing = sorted(set(base) ^ set(other))
        raise MismatchError(
            f"Base model and artifact differ in {len(differing)} parameters, first "
            f"{differing[0]!r}.",
            remedy="use the base model that the workspace was built on.",
        )
