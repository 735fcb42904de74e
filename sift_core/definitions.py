"""The method on whole tensors, as its definitions say it: the merge state, and what is served.

What runs on models of any size (`merge_update`, `serving_blocks`, `serving_offload`) reads its
files block by block; tests hold it against this file, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from sift_core.blocks import Block, blocks
from sift_core.canonical import MALFORMED, MERGE, broken, decode, require_canonical
from sift_core.digest import linear_digest
from sift_core.errors import MiscountError, MismatchError
from sift_core.file_header import Kind
from sift_core.fixed_point import Grid
from sift_core.mask import Mask
from sift_core.merge_file import MOST_MEMBERS, Widths, as_arrays, pack
from sift_core.serving import Divisor, Weights, served_entries, where
from sift_core.task_vector import TaskVector
from sift_core.totals import Totals, require_totals

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class MergeState:
    """S as int64 sums and C as uint32 counts per parameter; S in units of 2^−grid.bits.

    T, the number of members, is not here: it is derived from lineage, the one place that knows
    who is a member.
    """

    sums: dict[str, NDArray[np.int64]]
    counts: dict[str, NDArray[np.uint32]]
    grid: Grid
    sign_seed: int

    def __post_init__(self) -> None:
        self.require_members(MOST_MEMBERS)

    def require_members(self, members: int) -> None:
        """Raise GridOverflowError or MiscountError unless so many members can have left this."""
        for block, totals in self._blocks():
            require_totals(block, totals, members)

    @classmethod
    def zero(cls, shapes: Mapping[str, tuple[int, ...]], grid: Grid, sign_seed: int) -> MergeState:
        """The state of no members."""
        sums = {name: np.zeros(shape, dtype=np.int64) for name, shape in shapes.items()}
        counts = {name: np.zeros(shape, dtype=np.uint32) for name, shape in shapes.items()}
        return cls(sums, counts, grid, sign_seed)

    @classmethod
    def rebuild(
        cls,
        vectors: Iterable[TaskVector],
        shapes: Mapping[str, tuple[int, ...]],
        grid: Grid,
        sign_seed: int,
    ) -> MergeState:
        """S and C from the stored vectors alone: the gold check. Streams, one vector in memory."""
        state = cls.zero(shapes, grid, sign_seed)
        for vector in vectors:
            state.accumulate(vector)
        return state

    def add(self, vector: TaskVector) -> MergeState:
        """S + τ, C + m as a new state. Raises MismatchError, GridOverflowError."""
        return self._copy().accumulate(vector)

    def subtract(self, vector: TaskVector) -> MergeState:
        """S − τ, C − m as a new state: the bits of one that never had τ. Raises MiscountError."""
        return self._copy().accumulate(vector, -1)

    def linear_digest(self, seed: int) -> tuple[int, ...]:
        """The linear digest of S and C: LANES integers in [0, 2^64)."""
        return linear_digest(
            (
                (name, Totals(sums, self.counts[name].astype(np.int64)).digest_input())
                for name, sums in self.sums.items()
            ),
            seed,
        )

    def to_bytes(self) -> bytes:
        """The canonical file (`merge_file`)."""
        widths = Widths()
        for _, totals in self._blocks():
            widths |= Widths.of(totals)
        head = self._kind.head_of_state(widths)
        return head + b"".join(
            pack(block, totals, widths).tobytes() for block, totals in self._blocks()
        )

    @classmethod
    def from_bytes(cls, data: bytes, origin: str = "merge state") -> MergeState:
        """The merge state in a canonical file; `origin` names it in errors.

        Raises CodecError, GridOverflowError, MiscountError.
        """
        tensors, about = decode(MERGE, data, origin)
        try:
            shapes = {name: tuple(shape) for name, shape in about["shapes"].items()}
            if sum(map(prod, shapes.values())) > len(data):  # before memory is taken for it
                raise ValueError("it does not hold a sum and a count per entry")
            sums, counts = as_arrays(shapes, tensors)
            state = cls(sums, counts, Grid(int(about["grid_bits"])), int(about["sign_seed"]))
        except MALFORMED as error:
            raise broken(origin, str(error)) from error
        require_canonical(state.to_bytes(), data, origin)
        return state

    @property
    def _kind(self) -> Kind:
        shapes = {name: sums.shape for name, sums in self.sums.items()}
        return Kind(shapes, self.grid, self.sign_seed)

    def _blocks(self) -> Iterator[tuple[Block, Totals]]:
        flat = {
            name: Totals(sums.reshape(-1), self.counts[name].reshape(-1).astype(np.int64))
            for name, sums in self.sums.items()
        }
        for block in blocks({name: sums.shape for name, sums in self.sums.items()}):
            parts = [flat[piece.name][piece.start : piece.stop] for piece in block.pieces]
            yield (
                block,
                Totals(
                    np.concatenate([part.sums for part in parts]),
                    np.concatenate([part.counts for part in parts]),
                ),
            )

    def _copy(self) -> MergeState:
        sums = {name: sums.copy() for name, sums in self.sums.items()}
        counts = {name: counts.copy() for name, counts in self.counts.items()}
        return MergeState(sums, counts, self.grid, self.sign_seed)

    def accumulate(self, vector: TaskVector, direction: Literal[1, -1] = 1) -> MergeState:
        """Add (or subtract) in place and return itself: how a long sum streams."""
        self._require_same_kind(vector)
        for name, integers in vector.integers():
            self.sums[name] += direction * integers
            moved = vector.mask.bits[name]
            if direction < 0 and (self.counts[name] < moved).any():
                raise MiscountError(
                    f"{name!r} counts no member where the vector to subtract has an entry.",
                    remedy="subtract members only, and each once.",
                )
            self.counts[name] += (direction * moved).astype(np.uint32)
        self.require_members(MOST_MEMBERS)
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
    return _served(base, state, dict.fromkeys(state.sums, members))


def members_weights(base: Mapping[str, torch.Tensor], state: MergeState) -> Weights:
    """θ0 + S/C, θ0 where C = 0, likewise: what all members are served, each under their mask."""
    return _served(base, state, state.counts)


def _served(
    base: Mapping[str, torch.Tensor], state: MergeState, divisors: Mapping[str, Divisor]
) -> Weights:
    _require_same_names(base, state.sums)
    weights = {}
    for name, sums in state.sums.items():
        [weights[name]] = served_entries(base[name].cpu(), sums, state.grid, [divisors[name]])
    return weights


def masked_weights(
    base: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor], mask: Mask
) -> Weights:
    """`weights` where the mask is set, θ0 elsewhere: what one member is served."""
    _require_same_names(base, mask.bits)
    return {name: where(mask.bits[name], weights[name], base[name].cpu()) for name in sorted(base)}


def _require_same_names(base: Mapping[str, object], other: Mapping[str, object]) -> None:
    if set(base) != set(other):
        differing = sorted(set(base) ^ set(other))
        raise MismatchError(
            f"Base model and artifact differ in {len(differing)} parameters, first "
            f"{differing[0]!r}.",
            remedy="use the base model that the workspace was built on.",
        )
