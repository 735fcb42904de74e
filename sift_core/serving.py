"""Served weights: one elementwise formula in a fixed precision, so one SHA-256 on every machine.

    anyone's     w = float32( float64(θ0) + float64(S) · 2^−grid / T )
    members'     w = float32( float64(θ0) + float64(S) · 2^−grid / C )

and θ0, bit for bit, where S = 0; each rounded once more to bfloat16 where θ0 is bfloat16. A member
gets the members' weights where
their mask is set and θ0 elsewhere; anyone else gets anyone's.

The paper serves a member anyone's weights under the mask (arXiv 2504.04626, §3, "serving"): the
mean over all members, most of whom did not move the entry. The mean over those who did is the
disjoint mean of TIES (arXiv 2306.01708), which signs that all agree make exact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sift_core.blocks import in_cache
from sift_core.fixed_point import Grid
from sift_core.totals import Totals

if TYPE_CHECKING:
    import torch

Weights = Mapping[str, "torch.Tensor"]

Mean = Literal["all", "counted"]
"""Over whom an entry's mean is taken: over all T members, or over the C who moved it."""


Divisor = int | NDArray[np.integer[Any]]
"""Over how many members the mean is taken: one number for all entries, or one for each."""


def divisor(mean: Mean, totals: Totals, members: int) -> Divisor:
    """What S is divided by: the count of each entry, or `members`, which is T."""
    return totals.counts if mean == "counted" else members


def served_entries(
    base: torch.Tensor, sums: NDArray[np.integer[Any]], grid: Grid, divisors: Sequence[Divisor]
) -> list[torch.Tensor]:
    """The formula for each divisor; of the shape and dtype of `base`, on the CPU."""
    import torch  # its second of importing is no cost of adding up

    # NumPy's arrays: torch would wake its threads for every piece, and they spin in between.
    start, whole = base.detach().float().reshape(-1).numpy(), sums.reshape(-1)
    served = [np.empty(start.shape, np.float32) for _ in divisors]
    for span in in_cache(start.size):
        before = start[span].astype(np.float64)
        # θ0 − (−S)/T: where S is 0, this takes +0 away, and even a θ0 of −0 keeps its sign.
        against = np.negative(whole[span], out=np.empty_like(before), casting="unsafe")
        against *= grid.scale()
        for weights, divisor in zip(served, divisors, strict=True):
            moved = np.divide(against, np.maximum(_of(divisor, span), 1))
            weights[span] = np.subtract(before, moved, out=moved)
    return [torch.from_numpy(weights).reshape(base.shape).to(base.dtype) for weights in served]


def _of(divisor: Divisor, span: slice) -> Divisor:
    return divisor if isinstance(divisor, int) else divisor.reshape(-1)[span]


def where(chosen: NDArray[np.bool_], one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """`torch.where` bit for bit, in two thirds of its time: integers take no branches."""
    import torch  # as above

    integers = {2: torch.int16, 4: torch.int32}[one.itemsize]
    bits, others = one.view(integers), other.view(integers)
    # −1 has all bits, 0 none; changed in place: new memory takes longer than the arithmetic.
    found = torch.from_numpy(chosen).to(integers).neg_()
    return found.bitwise_and_(bits ^ others).bitwise_xor_(others).view(one.dtype)


def weights_sha256(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over (name, dtype, shape, little-endian bytes) in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(weights_line(name, tensor.dtype, tensor.shape))
        digest.update(bytes_of(tensor))
    return digest.hexdigest()


def weights_line(name: str, dtype: torch.dtype, shape: Sequence[int]) -> bytes:
    """What `weights_sha256` hashes before the bytes of a tensor."""
    return f"{name}|{dtype}|{list(shape)}\n".encode()


def bytes_of(tensor: torch.Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, not copied."""
    import torch  # as above

    if not tensor.numel():  # an array without entries may have a stride of 0, which no view takes
        return memoryview(b"")
    return tensor.reshape(-1).view(torch.uint8).numpy().data
