"""Served weights on their way to files: into a model's own folder, or into a file of tensors."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from pathlib import Path

import torch

from sift_bytes import draft
from sift_core.blocks import Piece
from sift_core.canonical import head_in_order
from sift_core.errors import MismatchError
from sift_core.file_header import Kind
from sift_core.serving import Weights, bytes_of
from sift_core.serving_blocks import WeightsDigest
from sift_core.weights_folder import FORMAT_DTYPES, SERVED, StoredWeights


class WeightsWriter:
    """Takes served weights as `serve` makes them, writes their bytes, and hashes them."""

    def __init__(
        self,
        shapes: Mapping[str, Sequence[int]],
        write: Callable[[Piece, memoryview], object],
    ) -> None:
        self._digest = WeightsDigest(shapes)
        self._write = write

    def take(self, piece: Piece, weights: torch.Tensor) -> None:
        """Take one piece, flat, on the CPU."""
        self._digest.take(piece, weights)
        self._write(piece, bytes_of(weights))

    @property
    def sha256(self) -> str:
        """`weights_sha256` of what was taken so far."""
        return self._digest.sha256


@contextmanager
def model_folder(folder: Path, base: StoredWeights, kind: Kind) -> Iterator[WeightsWriter]:
    """The base's files of weights in `folder`, with other bytes in the trained tensors.

    The same files, heads and frozen tensors, whatever their number. No file has its name before
    all is taken and nothing has failed. Raises MismatchError, OSError.
    """
    require_same_shapes(base, kind)
    trained = [base.places[name] for name in kind.shapes]
    with ExitStack() as stack:
        drafts = {path: stack.enter_context(draft(folder)) for path in base.files}
        for path, file in drafts.items():
            file.copy(path, [place.span for place in trained if place.path == path])

        def write(piece: Piece, data: memoryview) -> None:
            place = base.places[piece.name]
            drafts[place.path].overwrite(place.offset + piece.start * place.dtype.itemsize, data)

        yield WeightsWriter(kind.shapes, write)
        for path, file in drafts.items():
            file.keep(folder / path.name)


@contextmanager
def weights_file(path: Path, base: Weights, kind: Kind) -> Iterator[WeightsWriter]:
    """One file of the trained tensors alone, in the dtypes that θ0 has in `base`; likewise."""
    require_same_shapes(base, kind)
    dtypes = {name: base[name].dtype for name in kind.shapes}
    layout = lay_out({name: (dtype, kind.shapes[name]) for name, dtype in dtypes.items()}, {})
    with draft(path.parent) as file:
        file.write(layout.head)
        yield WeightsWriter(kind.shapes, lambda _, data: file.write(data))
        file.keep(path)


@dataclass(frozen=True)
class Layout:
    """How the tensors of a file of weights lie in it."""

    head: bytes
    starts: Mapping[str, int]
    """The first byte of each."""


def lay_out(
    tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]], metadata: dict[str, str]
) -> Layout:
    """Tensors of these dtypes and shapes, one after the other in the order of names."""
    names = sorted(tensors)
    sizes = [prod(tensors[name][1]) * tensors[name][0].itemsize for name in names]
    head = head_in_order(
        (
            (name, FORMAT_DTYPES[tensors[name][0]], tensors[name][1], size)
            for name, size in zip(names, sizes, strict=True)
        ),
        metadata,
    )
    starts = accumulate(sizes, initial=len(head))
    return Layout(head, dict(zip(names, starts, strict=False)))


def require_same_shapes(base: Weights, kind: Kind) -> None:
    """Raise MismatchError unless θ0 has all parameters of the merge, in a dtype we serve."""
    for name, shape in kind.shapes.items():
        found = base.get(name)
        if found is None or tuple(found.shape) != tuple(shape) or found.dtype not in SERVED:
            raise MismatchError(
                f"The base model has no {name!r} of shape {list(shape)} in float32 or bfloat16.",
                remedy="use the base model that the workspace was built on.",
            )
