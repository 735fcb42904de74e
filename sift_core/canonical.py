"""The one file form of masks, task vectors and merge states: canonical safetensors.

Canonical means: the same content has the same bytes on every machine, so one SHA-256 names it.
Tensors are stored under their parameter names; everything else is one JSON text under the
metadata key `sift`. A reader re-encodes what it read and compares, so a file that hides anything
(other padding bits, another order, a foreign key) is refused. Reading in blocks (`stored`) compares
the head and looks at every padding bit and magnitude instead, which is as strict.

| file   | tensor per parameter                                | metadata                          |
|--------|-----------------------------------------------------|-----------------------------------|
| mask   | uint8, bit i of the C-order mask in bit i%8 of i//8 | shapes, sign seed                 |
| vector | float16 magnitudes of the set bits, all > 0         | grid bits, SHA-256 of its mask    |
| merge  | sums and counts, piece by piece (`merge_file`)      | shapes, grid bits, sign seed      |
"""

import json
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy as st
from numpy.typing import DTypeLike, NDArray
from safetensors import SafetensorError

from sift_core.errors import AlteredError, CodecError

_HEAD_ALIGNMENT = 8
DTYPES = {
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
}
"""NumPy's names of dtypes and those of the format."""

MASK, VECTOR, MERGE = "mask/1", "vector/1", "merge/2"
"""The three forms: what a file says it is, and in which version."""

RESTORE = "restore the file with `dvc checkout`, then run `sift verify`."

Tensors = dict[str, NDArray[Any]]

MALFORMED = (AttributeError, KeyError, OverflowError, TypeError, ValueError)
"""What reading hostile metadata as numbers, names and shapes can raise."""


def encode(form: str, tensors: Tensors, about: dict[str, Any]) -> bytes:
    """The canonical file of `tensors`, all of one dtype, and what there is to say about them."""
    ordered = [np.asarray(tensors[name], order="C") for name in sorted(tensors)]
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    (dtype,) = {tensor.dtype for tensor in ordered} or {np.dtype(np.uint8)}
    return head(form, dtype, shapes, about) + b"".join(tensor.tobytes() for tensor in ordered)


def head(
    form: str, dtype: DTypeLike, shapes: Mapping[str, tuple[int, ...]], about: dict[str, Any]
) -> bytes:
    """What stands before the tensors in a canonical file; they follow in the order of names."""
    return plain_head(dtype, shapes, metadata(form, about))


def metadata(form: str, about: dict[str, Any]) -> dict[str, str]:
    """What a canonical file says of itself, as safetensors' metadata."""
    # One key: the order in which the format writes several is not specified.
    text = json.dumps({"format": form, **about}, sort_keys=True, separators=(",", ":"))
    return {"sift": text}


def plain_head(
    dtype: DTypeLike, shapes: Mapping[str, tuple[int, ...]], metadata: dict[str, str]
) -> bytes:
    """The head of a safetensors file, byte for byte as that library lays it out.

    A head of our own, and not the library's, lets a file be written before all of it is known.
    """
    dtype = np.dtype(dtype)
    return head_in_order(
        (
            (name, DTYPES[dtype.name], shapes[name], prod(shapes[name]) * dtype.itemsize)
            for name in sorted(shapes)
        ),
        metadata,
    )


def head_in_order(
    tensors: Iterable[tuple[str, str, tuple[int, ...], int]], metadata: dict[str, str]
) -> bytes:
    """The head of a safetensors file with these tensors, which lie in it in this order.

    Of each: its name, the format's name of its dtype, its shape and its size in bytes.
    """
    header: dict[str, Any] = {"__metadata__": metadata}
    start = 0
    for name, dtype, shape, size in tensors:
        stop = start + size
        header[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [start, stop],
        }
        start = stop
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _HEAD_ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def decode(form: str, data: bytes, origin: str) -> tuple[Tensors, dict[str, Any]]:
    """The inverse of `encode`; `origin` names the file in errors. Raises CodecError."""
    try:
        tensors = st.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = json.loads(header["__metadata__"]["sift"])
        found = about.pop("format")
    except (SafetensorError, RecursionError, *MALFORMED) as error:
        raise broken(origin, str(error) or type(error).__name__) from error
    if found != form:
        raise broken(origin, f"it is a {found!r}, not a {form!r}")
    return tensors, about


def require_canonical(canonical: bytes, data: bytes, origin: str) -> None:
    """Raise CodecError unless the re-encoded content is the file, byte for byte."""
    if canonical != data:
        raise broken(origin, "its bytes are not the canonical form of its content")


def broken(origin: str, why: str) -> CodecError:
    """The error of a file that cannot be what lineage says it is."""
    return CodecError(f"{origin} is truncated or altered: {why}.", remedy=RESTORE)


def altered(path: Path, found: str | None, recorded: str) -> AlteredError:
    """The error of a file whose SHA-256 is `found` (None: missing or empty), not `recorded`."""
    what = f"has SHA-256 {found[:16]}…" if found else "is missing or empty"
    return AlteredError(f"{path} {what}, lineage recorded {recorded[:16]}….", remedy=RESTORE)
