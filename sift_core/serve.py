"""Served weights: one elementwise formula in a fixed precision, so one SHA-256 on every machine.

    w = round( float64(θ0) + float64(S) · 2^−grid / T )      to the dtype of θ0
    w = θ0 where there are no members

A contributor gets w where their mask is set and θ0 elsewhere; anyone else gets w
(arXiv 2504.04626, §3, "serving").
"""

import hashlib
from collections.abc import Mapping

import torch

from sift_core.errors import MismatchError
from sift_core.mask import Mask
from sift_core.merge import MergeState

Weights = dict[str, torch.Tensor]


def served_weights(base: Mapping[str, torch.Tensor], state: MergeState, members: int) -> Weights:
    """θ0 + S/T for the parameters of the merge, in the dtype of θ0, on the CPU.

    `members` is T. Raises MismatchError where the base has other parameters than the merge.
    """
    _require_same_names(base, state.sums)
    if members == 0:
        return {name: base[name].cpu().clone() for name in sorted(base)}
    weights = {}
    for name in sorted(base):
        mean = torch.from_numpy(state.sums[name]).double() * state.grid.scale() / members
        weights[name] = (base[name].cpu().double() + mean).to(base[name].dtype)
    return weights


def masked_weights(
    base: Mapping[str, torch.Tensor], served: Mapping[str, torch.Tensor], mask: Mask
) -> Weights:
    """θ0 + (m ⊙ S)/T: the served weights where the mask is set, θ0 elsewhere."""
    _require_same_names(base, mask.bits)
    return {
        name: torch.where(torch.from_numpy(mask.bits[name]), served[name], base[name].cpu())
        for name in sorted(base)
    }


def weights_sha256(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over (name, dtype, shape, little-endian bytes) in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _require_same_names(base: Mapping[str, object], other: Mapping[str, object]) -> None:
    if set(base) != set(other):
        differing = sorted(set(base) ^ set(other))
        raise MismatchError(
            f"Base model and artifact differ in {len(differing)} parameters, first "
            f"{differing[0]!r}.",
            remedy="use the base model that the workspace was built on.",
        )
