"""Served weights from a merge-state file, block by block: the formula of `serve` for any size."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sift_core.blocks import Block, Piece
from sift_core.canonical import plain_head
from sift_core.errors import MismatchError
from sift_core.files import Draft, draft
from sift_core.kind import Kind
from sift_core.serve import Weights, bytes_of, served_entries, weights_line
from sift_core.stored import StoredState
from sift_core.update import updated_blocks

_METADATA = {"format": "pt"}
"""What Hugging Face writes and wants to read in a file of weights."""


def served_from(
    kind: Kind, state: StoredState, base: Mapping[str, torch.Tensor], members: int
) -> Weights:
    """θ0 + S/T as `served_weights` gives it, with no more of the state in memory than a block.

    Raises AlteredError, CodecError, MismatchError where the state is not of the base's parameters.
    """
    weights = {name: torch.empty_like(base[name], device="cpu") for name in sorted(base)}
    for block, rows in updated_blocks(kind, state, (), ()):
        for piece, span in block.spans():
            served = served_entries(_entries(base, piece), rows[0, span], kind.grid, members)
            weights[piece.name].view(-1)[piece.start : piece.stop] = served
    return weights


@contextmanager
def served_file(
    path: Path, kind: Kind, base: Mapping[str, torch.Tensor], members: int
) -> Iterator["ServedFile"]:
    """A safetensors file of the trained parameters, for blocks of new sums to be given to.

    It has its name only when what happens within has come to its end. Raises MismatchError where
    the base has other parameters than the merge, or not in float32.
    """
    found = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in base.items()}
    if found != {name: (torch.float32, tuple(shape)) for name, shape in kind.shapes.items()}:
        raise MismatchError(
            "The base's trainable parameters are not those of the merge, in float32.",
            remedy="use the base model that the workspace was built on.",
        )
    with draft(path.parent) as file:
        yield ServedFile(file, kind, base, members)
        file.keep(path)


class ServedFile:
    """Takes the blocks of a merge state in order; `update_state` can give them while it writes."""

    def __init__(
        self, file: Draft, kind: Kind, base: Mapping[str, torch.Tensor], members: int
    ) -> None:
        self._file = file
        self._kind = kind
        self._base = base
        self._members = members
        self._hash = hashlib.sha256()
        file.write(plain_head(np.float32, kind.shapes, _METADATA))

    def take(self, block: Block, rows: NDArray[np.int64]) -> None:
        """Write the weights that belong to the sums `rows[0]`."""
        for piece, span in block.spans():
            entries = _entries(self._base, piece)
            served = served_entries(entries, rows[0, span], self._kind.grid, self._members)
            if piece.is_first:
                shape = self._kind.shapes[piece.name]
                self._hash.update(weights_line(piece.name, served.dtype, shape))
            self._hash.update(bytes_of(served))
            self._file.write(bytes_of(served))

    @property
    def weights_sha256(self) -> str:
        """`weights_sha256` of what was written."""
        return self._hash.hexdigest()


def _entries(base: Mapping[str, torch.Tensor], piece: Piece) -> torch.Tensor:
    return base[piece.name].reshape(-1)[piece.start : piece.stop].cpu()
