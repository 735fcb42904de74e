"""Served weights from a merge-state file, block by block: what `serving` says, for any size."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from sift_core.block_reader import MaskReader, StoredMask, StoredState, state_blocks
from sift_core.blocks import Piece, blocks
from sift_core.file_header import Kind
from sift_core.serving import Mean, Weights, bytes_of, divisor, served_entries, weights_line

if TYPE_CHECKING:
    import torch


class Recipient(Protocol):
    """Takes served weights as they are made: piece by piece, in the order of names."""

    def take(self, piece: Piece, weights: torch.Tensor) -> None:
        """Take one piece, flat, on the CPU."""


def serve(
    kind: Kind,
    state: StoredState,
    base: Mapping[str, torch.Tensor],
    recipients: Mapping[Mean, Recipient],
    mask: StoredMask | None = None,
) -> None:
    """Hand θ0 + S/T, θ0 + S/C or both to who takes them; with a mask, θ0 where it is not set.

    The state is read once, with no more of it in memory than a block. What was taken counts only
    when this returns: then all files were as recorded. Raises AlteredError, CodecError,
    MismatchError, GridOverflowError, MiscountError.
    """
    import torch  # its second of importing is no cost of adding up

    reader = None if mask is None else MaskReader(mask, kind)
    for block, totals in state_blocks(kind, state):
        chosen = None if reader is None else torch.from_numpy(reader.take(block))
        for piece, span in block.spans():
            entries, own = entries_of(base, piece), totals[span]
            divisors = [divisor(mean, own, state.members) for mean in recipients]
            served = served_entries(entries, own.sums, kind.grid, divisors)
            for recipient, weights in zip(recipients.values(), served, strict=True):
                recipient.take(
                    piece,
                    weights if chosen is None else torch.where(chosen[span], weights, entries),
                )
    if reader is not None:
        reader.finish()


def hand_over(kind: Kind, weights: Weights, recipient: Recipient) -> None:
    """Hand weights to who takes them, as `serve` does what it makes."""
    for block in blocks(kind.shapes):
        for piece in block.pieces:
            recipient.take(piece, entries_of(weights, piece))


def served_from(
    kind: Kind, state: StoredState, base: Mapping[str, torch.Tensor], mean: Mean = "all"
) -> Weights:
    """θ0 + S/T as `served_weights` gives it, or θ0 + S/C as `members_weights` does; raises as
    `serve`.
    """
    weights = _InMemory(base)
    serve(kind, state, base, {mean: weights})
    return weights.whole


def served_sha256(
    kind: Kind,
    state: StoredState,
    base: Mapping[str, torch.Tensor],
    means: Collection[Mean],
    mask: StoredMask | None = None,
) -> dict[Mean, str]:
    """`weights_sha256` of the served weights by each mean, which are never in memory as a whole.

    Raises as `serve`.
    """
    digests = {mean: WeightsDigest(kind.shapes) for mean in means}
    serve(kind, state, base, digests, mask)
    return {mean: digest.sha256 for mean, digest in digests.items()}


class WeightsDigest:
    """`weights_sha256` of weights that come piece by piece, in the order of names."""

    def __init__(self, shapes: Mapping[str, Sequence[int]]) -> None:
        self._shapes = shapes
        self._hash = hashlib.sha256()

    def take(self, piece: Piece, weights: torch.Tensor) -> None:
        """Hash one piece."""
        if piece.is_first:
            self._hash.update(weights_line(piece.name, weights.dtype, self._shapes[piece.name]))
        self._hash.update(bytes_of(weights))

    @property
    def sha256(self) -> str:
        """Of what was taken so far."""
        return self._hash.hexdigest()


class _InMemory:
    """Whole tensors, filled piece by piece."""

    def __init__(self, base: Mapping[str, torch.Tensor]) -> None:
        import torch  # as above

        self.whole = {name: torch.empty_like(base[name], device="cpu") for name in sorted(base)}

    def take(self, piece: Piece, weights: torch.Tensor) -> None:
        """Fill in one piece."""
        self.whole[piece.name].view(-1)[piece.start : piece.stop] = weights


def entries_of(weights: Mapping[str, torch.Tensor], piece: Piece) -> torch.Tensor:
    """The entries of one piece, flat, on the CPU."""
    return weights[piece.name].reshape(-1)[piece.start : piece.stop].cpu()
