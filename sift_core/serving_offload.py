"""Served weights tensor by tensor, when a module of a model asks for them (`streamed`).

Scoring goes through a model many times, front to back, and needs one tensor at a time.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch

from sift_bytes import file_sha256
from sift_core.block_reader import MaskReader, StateReader, StoredMask, StoredState
from sift_core.blocks import Piece, blocks
from sift_core.canonical import altered
from sift_core.file_header import Kind
from sift_core.merge_file import names_of_piece
from sift_core.serving import Mean, divisor, served_entries
from sift_core.serving_blocks import entries_of
from sift_core.totals import Totals
from sift_core.weights_folder import LazyWeights, StoredWeights, fresh


class LazilyServed(LazyWeights):
    """θ0 + S/T, or S/C, for the parameters of a merge: the bits of `served_from`, made when asked.

    The files are hashed here and read again for each tensor, so they must stay as they are while
    the weights are in use; what is registered is never made this way (`serve`). Raises
    AlteredError, CodecError, MismatchError.
    """

    def __init__(
        self,
        kind: Kind,
        state: StoredState,
        base: Mapping[str, torch.Tensor],
        mean: Mean = "all",
    ) -> None:
        StateReader(state, kind)  # it refuses the head of another kind
        _require_recorded(state)
        super().__init__(kind.shapes, lambda name: self._whole(name, self._served))
        self._kind, self._base, self._members = kind, base, state.members
        self._mean = mean
        self._state = StoredWeights(state.path)

    def masked(self, mask: StoredMask) -> LazyWeights:
        """These weights where the mask is set, θ0 elsewhere."""
        MaskReader(mask, self._kind)
        _require_recorded(mask)
        bits = StoredWeights(mask.path)

        def chosen(piece: Piece) -> torch.Tensor:
            packed = bits[piece.name][piece.start // 8 : -(-piece.stop // 8)].numpy()
            moved = np.unpackbits(packed, count=len(piece), bitorder="little").view(np.bool_)
            theirs = entries_of(self._base, piece)
            return torch.where(torch.from_numpy(moved), self._served(piece), theirs)

        return LazyWeights(self._kind.shapes, lambda name: self._whole(name, chosen))

    def _served(self, piece: Piece) -> torch.Tensor:
        totals = Totals(
            *(self._state[name].numpy()[: len(piece)] for name in names_of_piece(piece))
        )
        over = divisor(self._mean, totals, self._members)
        [weights] = served_entries(
            entries_of(self._base, piece), totals.sums, self._kind.grid, [over]
        )
        return weights

    def _whole(self, name: str, part: Callable[[Piece], torch.Tensor]) -> torch.Tensor:
        """One tensor, made piece by piece: what one operation needs is never a tensor more."""
        whole = fresh(self._kind.shapes[name], self._base[name].dtype)
        for block in blocks({name: self._kind.shapes[name]}):
            for piece in block.pieces:
                whole.view(-1)[piece.start : piece.stop] = part(piece)
        return whole


def _require_recorded(stored: StoredState | StoredMask) -> None:
    found = file_sha256(stored.path)
    if found != stored.sha256:
        raise altered(stored.path, found, stored.sha256)
