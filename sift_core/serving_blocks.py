"""Served weights from a merge-state file, block by block: what `serving` says, for any size."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from sift_bytes import draft
from sift_core.block_reader import MaskReader, StoredMask, StoredState, state_blocks
from sift_core.blocks import Piece
from sift_core.canonical import head_in_order
from sift_core.errors import MismatchError
from sift_core.file_header import Kind
from sift_core.serving import SERVED, Mean, Weights, bytes_of, served_entries, weights_line
from sift_core.weights_folder import FORMAT_DTYPES, StoredWeights


def served_from(
    kind: Kind, state: StoredState, base: Mapping[str, torch.Tensor], mean: Mean = "all"
) -> Weights:
    """θ0 + S/T as `served_weights` gives it, with no more of the state in memory than a block.

    Or θ0 + S/C as `members_weights` does. Raises AlteredError, CodecError, MismatchError where the
    state is not of the base's parameters.
    """
    weights = {name: torch.empty_like(base[name], device="cpu") for name in sorted(base)}
    for piece, served in served_pieces(kind, state, base, mean=mean):
        weights[piece.name].view(-1)[piece.start : piece.stop] = served
    return weights


def served_pieces(
    kind: Kind,
    state: StoredState,
    base: Mapping[str, torch.Tensor],
    mask: StoredMask | None = None,
    mean: Mean = "all",
) -> Iterator[tuple[Piece, torch.Tensor]]:
    """θ0 + S/T, or S/C, piece by piece, in the order of names; with a mask, θ0 where it is not set.

    They count only when the iterator has come to its end: then all files were as recorded. Raises
    AlteredError, CodecError, MismatchError.
    """
    reader = None if mask is None else MaskReader(mask, kind)
    for block, totals in state_blocks(kind, state):
        moved = None if reader is None else torch.from_numpy(reader.take(block))
        for piece, span in block.spans():
            entries = entries_of(base, piece)
            served = served_entries(entries, totals[span], kind.grid, state.members, mean)
            yield piece, served if moved is None else torch.where(moved[span], served, entries)
    if reader is not None:
        reader.finish()


def served_sha256(
    kind: Kind,
    state: StoredState,
    base: Mapping[str, torch.Tensor],
    mask: StoredMask | None = None,
    mean: Mean = "all",
) -> str:
    """`weights_sha256` of the served weights, which are never in memory as a whole.

    Raises AlteredError, CodecError, MismatchError.
    """
    digest = WeightsDigest(kind.shapes)
    for piece, served in served_pieces(kind, state, base, mask, mean):
        digest.take(piece, served)
    return digest.sha256


def served_folder(
    folder: Path,
    base: StoredWeights,
    kind: Kind,
    state: StoredState,
    mask: StoredMask | None = None,
    mean: Mean = "all",
) -> str:
    """Write the base's files of weights to `folder` with the served weights in them.

    The same files, heads and frozen tensors, whatever their number; only the bytes of the trained
    tensors are others. No file has its name before all are written. Returns `weights_sha256` of
    the trained ones. Raises AlteredError, CodecError, MismatchError, OSError.
    """
    require_same_shapes(base, kind)
    trained = [base.places[name] for name in kind.shapes]
    digest = WeightsDigest(kind.shapes)
    with ExitStack() as stack:
        drafts = {path: stack.enter_context(draft(folder)) for path in base.files}
        for path, file in drafts.items():
            file.copy(path, [place.span for place in trained if place.path == path])
        for piece, served in served_pieces(kind, state, base, mask, mean):
            digest.take(piece, served)
            place = base.places[piece.name]
            start = place.offset + piece.start * place.dtype.itemsize
            drafts[place.path].overwrite(start, bytes_of(served))
        for path, file in drafts.items():
            file.keep(folder / path.name)
    return digest.sha256


def members_file(path: Path, base: StoredWeights, kind: Kind, state: StoredState) -> str:
    """Write the members' weights θ0 + S/C of the trained tensors as one file of safetensors.

    It has its name once all is written. Returns its `weights_sha256`. Raises AlteredError,
    CodecError, MismatchError, OSError.
    """
    require_same_shapes(base, kind)
    tensors = ((name, base.places[name]) for name in sorted(kind.shapes))
    head = head_in_order(
        ((name, FORMAT_DTYPES[place.dtype], place.shape, place.size) for name, place in tensors), {}
    )
    digest = WeightsDigest(kind.shapes)
    with draft(path.parent) as file:
        file.write(head)
        for piece, weights in served_pieces(kind, state, base, mean="counted"):
            digest.take(piece, weights)
            file.write(bytes_of(weights))
        file.keep(path)
    return digest.sha256


def require_same_shapes(base: StoredWeights, kind: Kind) -> None:
    """Raise MismatchError unless the base has all parameters of the merge, in a dtype we serve."""
    for name, shape in kind.shapes.items():
        place = base.places.get(name)
        if place is None or place.shape != tuple(shape) or place.dtype not in SERVED:
            raise MismatchError(
                f"{base.folder} has no {name!r} of shape {list(shape)} in float32 or bfloat16.",
                remedy="use the base model that the workspace was built on.",
            )


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


def entries_of(weights: Mapping[str, torch.Tensor], piece: Piece) -> torch.Tensor:
    """The entries of one piece, flat, on the CPU."""
    return weights[piece.name].reshape(-1)[piece.start : piece.stop].cpu()
