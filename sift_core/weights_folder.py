"""The weights in a folder of safetensors files, one tensor at a time, however large the model is.

A tensor is mapped into memory when it is asked for and leaves memory with its last use, so that
whoever goes through a model holds one tensor and no more; of a slice, no more than its pages.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from sift_core.errors import ModelError

DTYPES = {
    "F32": torch.float32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F64": torch.float64,
    "I64": torch.int64,
    "I32": torch.int32,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The format's names of the dtypes that weights, masks, sums and counts come in."""
SERVED = (torch.float32, torch.bfloat16)
"""The dtypes that θ0 may have; what is served has the same."""
FORMAT_DTYPES = {dtype: name for name, dtype in DTYPES.items()}

_OWN_PAGES = 1 << 20
"""Bytes from which on a tensor has pages of its own."""
_PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS


@dataclass(frozen=True)
class Place:
    """Where a tensor is: its file and the offset of its first byte there."""

    path: Path
    offset: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def span(self) -> tuple[int, int]:
        """Its first byte in the file, and the one after its last."""
        return self.offset, self.offset + self.size


class StoredWeights(Mapping[str, torch.Tensor]):
    """All tensors of a folder of safetensors files, or of one such file, by name.

    Opening reads the heads alone. What is handed out is private to the caller: writing to it
    changes no file. Raises ModelError where a file is not safetensors.
    """

    def __init__(self, path: Path) -> None:
        self.folder = path
        self.files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
        self.places = {name: place for file in self.files for name, place in _places(file)}

    def only(self, names: Collection[str]) -> "LazyWeights":
        """Those that have one of these names."""
        return LazyWeights(self.places.keys() & names, self.__getitem__)

    def __getitem__(self, name: str) -> torch.Tensor:
        place = self.places[name]
        if not place.size:  # nothing cannot be mapped
            return torch.empty(place.shape, dtype=place.dtype)
        data = np.memmap(place.path, np.uint8, "c", place.offset, (place.size,))
        return torch.from_numpy(data).view(place.dtype).reshape(place.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


class LazyWeights(Mapping[str, torch.Tensor]):
    """Weights that are made tensor by tensor, each anew whenever it is asked for."""

    def __init__(self, names: Iterable[str], make: Callable[[str], torch.Tensor]) -> None:
        self._names = dict.fromkeys(sorted(names))
        self._make = make

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def fresh(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """A tensor without values, on pages of its own that go back to the system with its last use.

    What malloc hands out it may keep: after all tensors of a billion parameters, one after the
    other, it had 370 MB that nobody used.
    """
    size = prod(shape) * dtype.itemsize
    if size < _OWN_PAGES:
        return torch.empty(tuple(shape), dtype=dtype)
    return torch.frombuffer(mmap(-1, size, _PRIVATE), dtype=dtype).reshape(tuple(shape))


def _places(path: Path) -> Iterator[tuple[str, Place]]:
    try:
        with safe_open(path, "pt"):  # it checks all of the head against the file
            pass
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path} does not load: {error}.",
            remedy="restore the folder, with `dvc checkout` where DVC keeps it.",
        ) from error
    header.pop("__metadata__", None)
    for name, about in header.items():
        if about["dtype"] not in DTYPES:
            raise ModelError(
                f"{path} has {name!r} in {about['dtype']}, which is not read here.",
                remedy="convert the model to float32 or bfloat16.",
            )
        start = 8 + length + about["data_offsets"][0]
        yield name, Place(path, start, DTYPES[about["dtype"]], tuple(about["shape"]))
