"""The task vector τ = θ − θ0 of one contributor, sign-fixed and on the grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sift_core.canonical import (
    MALFORMED,
    RESTORE,
    VECTOR,
    broken,
    decode,
    encode,
    require_canonical,
)
from sift_core.digest import linear_digest
from sift_core.errors import MismatchError, NonFiniteError
from sift_core.fixed_point import Grid
from sift_core.mask import Mask
from sift_core.signs import SignVector
from sift_core.totals import Totals

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TaskVector:
    """One contributor's task vector as stored: a mask and the magnitudes it selects.

    `magnitudes` maps a parameter name to float16 of shape `(set bits,)`, in C order of the mask,
    every one finite and > 0. Signs are shared by all contributors and implied by the seed.
    """

    mask: Mask
    magnitudes: dict[str, NDArray[np.float16]]
    grid: Grid

    @classmethod
    def between(
        cls,
        base: Mapping[str, torch.Tensor],
        finetuned: Mapping[str, torch.Tensor],
        signs: SignVector,
        grid: Grid,
    ) -> TaskVector:
        """The task vector from θ0 to θ. Rounding to the grid is the last step of finetuning.

        The stored vector is thereby the *definition* of τ. An entry that rounds to zero leaves the
        mask. Raises NonFiniteError, GridOverflowError, or MismatchError where θ is not sign-fixed.
        """
        bits: dict[str, NDArray[np.bool_]] = {}
        magnitudes: dict[str, NDArray[np.float16]] = {}
        for name in sorted(base):
            moved = finetuned[name].detach().double() - base[name].double()
            delta = moved.cpu().numpy()
            _require_finite(name, delta)
            positive = signs.positive(name, delta.shape)
            outward = np.where(positive, delta, -delta)
            if (outward < 0).any():
                raise MismatchError(
                    f"Parameter {name!r} has {int((outward < 0).sum())} entries against the sign "
                    "vector.",
                    remedy="finetune with SignFix attached and the same sign seed.",
                )
            units = grid.round(outward, name)
            bits[name] = np.asarray(units > 0)  # of one 0-d entry, NumPy makes a scalar
            magnitudes[name] = units[bits[name]]
        return cls(Mask(bits, signs.seed), magnitudes, grid)

    def integers(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Parameter names in order, each with τ·2^bits as int64 of the parameter's shape."""
        signs = SignVector(self.mask.sign_seed)
        for name in sorted(self.mask.bits):
            bits = self.mask.bits[name]
            dense = np.zeros(bits.shape, dtype=np.int64)
            dense[bits] = self.grid.integers(self.magnitudes[name])
            positive = signs.positive(name, bits.shape)
            yield name, np.where(positive, dense, -dense)

    def linear_digest(self, seed: int) -> tuple[int, ...]:
        """The linear digest of τ and m: LANES integers in [0, 2^64)."""
        return linear_digest(
            (
                (name, Totals(integers, self.mask.bits[name].astype(np.int64)).digest_input())
                for name, integers in self.integers()
            ),
            seed,
        )

    def to_bytes(self) -> bytes:
        """The canonical file: 16 bits per set bit of the mask."""
        about = {"grid_bits": self.grid.bits, "mask_sha256": self.mask.sha256}
        return encode(VECTOR, self.magnitudes, about)

    @classmethod
    def from_bytes(cls, data: bytes, mask: Mask, origin: str = "vector") -> TaskVector:
        """The task vector in a canonical file, given its mask; `origin` names it in errors.

        Raises CodecError for anything but finite positive float16, one per set bit, and
        MismatchError where the file belongs to another mask.
        """
        magnitudes, about = decode(VECTOR, data, origin)
        if about.get("mask_sha256") != mask.sha256:
            raise MismatchError(f"{origin} belongs to another mask.", remedy=RESTORE)
        if set(magnitudes) != set(mask.bits):
            raise broken(origin, "its parameters are not those of its mask")
        for name, values in magnitudes.items():
            _require_magnitudes(name, values, int(np.count_nonzero(mask.bits[name])), origin)
        try:
            vector = cls(mask, magnitudes, Grid(int(about["grid_bits"])))
        except MALFORMED as error:
            raise broken(origin, str(error)) from error
        require_canonical(vector.to_bytes(), data, origin)
        return vector


def _require_magnitudes(name: str, values: NDArray[np.float16], count: int, origin: str) -> None:
    if values.dtype != np.float16 or values.shape != (count,):
        raise broken(origin, f"{name!r} is not {count} float16 magnitudes")
    if not (np.isfinite(values) & (values > 0)).all():
        raise broken(origin, f"{name!r} holds a magnitude that is not finite and positive")


def _require_finite(name: str, delta: NDArray[np.float64]) -> None:
    if not np.isfinite(delta).all():
        raise NonFiniteError(
            f"Parameter {name!r} is NaN or infinite after finetuning.",
            remedy="lower the learning rate or look for broken rows in this contributor's data.",
        )
