"""One content, one file: everything that is not the canonical form is refused.

The three kinds of file share these tests; what is particular to one is in its own test file.
"""

import copy
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sift_core import Kind, Mask, MergeState, SiftCoreError, StoredState, StoredVector, TaskVector
from sift_core.canonical import encode, plain_head
from sift_core.errors import CodecError, MismatchError
from sift_core.merge_update import inspect_vector, stored_digest
from tests.support.builders import GRID, SEED, SHAPES, raw_safetensors, taken_apart, vector
from tests.support.on_disk import stored, stored_file

VECTOR = vector(1)
STATE = MergeState.rebuild([VECTOR, vector(2)], SHAPES, GRID, SEED)
KIND = Kind(SHAPES, GRID, SEED)


def in_blocks(kind: str, data: bytes) -> Any:
    """Read a file block by block, and only what is found good there as a whole.

    Recorded is what the file is: the reader itself must see what is wrong with it.
    """
    with TemporaryDirectory() as folder:
        path, sha256 = stored_file(Path(folder), data)
        one = stored(Path(folder), VECTOR)
        state = StoredState(path, sha256, 2) if kind == "merge" else None
        if kind == "mask":
            vector_file = VECTOR.to_bytes().replace(VECTOR.mask.sha256.encode(), sha256.encode())
            vector_path, vector_sha256 = stored_file(Path(folder), vector_file)
            one = StoredVector(vector_path, path, vector_sha256, sha256)
        if kind == "vector":
            one = StoredVector(path, one.mask, sha256, one.mask_sha256)
        inspect_vector(KIND, one, 0)
        if state is not None:
            stored_digest(KIND, state, 0)
    try:
        return FILES[kind][1](data)
    except SiftCoreError as error:
        raise AssertionError("good in blocks, but not as a whole") from error


FILES: dict[str, tuple[bytes, Callable[[bytes], Any]]] = {
    "mask": (VECTOR.mask.to_bytes(), Mask.from_bytes),
    "vector": (VECTOR.to_bytes(), lambda data: TaskVector.from_bytes(data, VECTOR.mask)),
    "merge": (STATE.to_bytes(), MergeState.from_bytes),
}
Read = Callable[[bytes], Any]

IN_BLOCKS = {
    f"{kind} in blocks": (data, partial(in_blocks, kind)) for kind, (data, _) in FILES.items()
}
EVERY = FILES | IN_BLOCKS
every_file = pytest.mark.parametrize(("data", "read"), EVERY.values(), ids=EVERY.keys())


@every_file
def test_a_file_gives_back_its_bytes(data: bytes, read: Read) -> None:
    assert read(data).to_bytes() == data


@every_file
def test_every_truncation_is_refused(data: bytes, read: Read) -> None:
    """The first bytes one by one; of what follows them, every seventh, no divisor of a width."""
    for length in (*range(64), *range(64, len(data), 7), len(data) - 1):
        with pytest.raises(CodecError, match="truncated or altered"):
            read(data[:length])


@every_file
@given(source=st.data())
def test_a_changed_byte_is_refused_or_is_another_content(
    data: bytes, read: Read, source: st.DataObject
) -> None:
    position = source.draw(st.integers(0, len(data) - 1))
    changed = bytearray(data)
    changed[position] ^= source.draw(st.integers(1, 255))
    try:
        content = read(bytes(changed))
    except SiftCoreError:
        return
    assert content.to_bytes() == changed  # no two files have one content


@every_file
@given(noise=st.binary(max_size=200))
def test_noise_is_refused(data: bytes, read: Read, noise: bytes) -> None:
    with pytest.raises(CodecError):
        read(noise)
    with pytest.raises(CodecError):
        read(data + (noise or b"\0"))


@every_file
def test_a_padded_header_is_refused(data: bytes, read: Read) -> None:
    header, body = taken_apart(data)
    files = [raw_safetensors(header, body, " " * spaces) for spaces in range(17)]
    assert files.count(data) == 1  # the format itself pads to a multiple of 8
    for file in files:
        if file != data:
            with pytest.raises(CodecError):
                read(file)


@every_file
def test_other_metadata_is_refused(data: bytes, read: Read) -> None:
    header, body = taken_apart(data)
    about = json.loads(header["__metadata__"]["sift"])
    for text in (
        json.dumps(about, sort_keys=True),  # spaces
        json.dumps(dict(reversed(about.items())), separators=(",", ":")),  # order
        json.dumps({**about, "note": "x"}, sort_keys=True, separators=(",", ":")),
        "[]",
        "7",
        "null",
        "not json",
        "[" * 100_000,
    ):
        with pytest.raises(CodecError):
            read(raw_safetensors({**header, "__metadata__": {"sift": text}}, body))
    for metadata in ({}, {**header["__metadata__"], "note": "x"}):
        with pytest.raises(CodecError):
            read(raw_safetensors({**header, "__metadata__": metadata}, body))


@every_file
@pytest.mark.parametrize("value", [None, "1", 1.0, True, float("inf"), float("nan"), [], 10**400])
def test_metadata_of_another_kind_is_refused(data: bytes, read: Read, value: object) -> None:
    header, body = taken_apart(data)
    about = json.loads(header["__metadata__"]["sift"])
    for key in about:
        changed = json.dumps({**about, key: value}, sort_keys=True, separators=(",", ":"))
        if isinstance(value, int) and value > 1 and key in ("sign_seed", "grid_bits"):
            continue  # another number is another content
        with pytest.raises(SiftCoreError):
            read(raw_safetensors({**header, "__metadata__": {"sift": changed}}, body))


@every_file
def test_tensors_in_another_order_are_refused(data: bytes, read: Read) -> None:
    header, body = taken_apart(data)
    names = [name for name in header if name != "__metadata__"]
    changed, moved, at = copy.deepcopy(header), b"", 0
    for name in reversed(names):
        start, stop = header[name]["data_offsets"]
        changed[name]["data_offsets"] = [at, at + stop - start]
        moved, at = moved + body[start:stop], at + stop - start
    with pytest.raises(CodecError):
        read(raw_safetensors(changed, moved))


@every_file
@pytest.mark.parametrize("extra", [np.zeros(0, np.uint8), np.ones(3, np.float16)])
def test_an_extra_tensor_is_refused(data: bytes, read: Read, extra: np.ndarray) -> None:
    header, _ = taken_apart(data)
    tensors = {**safetensors.numpy.load(data), "smuggled": extra}
    with pytest.raises((CodecError, MismatchError)):  # of another workspace, to who knows this one
        read(safetensors.numpy.save(tensors, metadata=header["__metadata__"]))


@every_file
def test_a_missing_tensor_is_refused(data: bytes, read: Read) -> None:
    header, _ = taken_apart(data)
    for name in safetensors.numpy.load(data):
        tensors = {key: value for key, value in safetensors.numpy.load(data).items() if key != name}
        with pytest.raises(SiftCoreError):
            read(safetensors.numpy.save(tensors, metadata=header["__metadata__"]))


@every_file
@pytest.mark.parametrize(
    "dtype",
    [torch.bool, torch.int8, torch.int32, torch.bfloat16, torch.float8_e4m3fn, torch.float64],
)
def test_another_dtype_is_refused(data: bytes, read: Read, dtype: torch.dtype) -> None:
    header, _ = taken_apart(data)
    for name, tensor in safetensors.torch.load(data).items():
        if tensor.dtype == dtype:
            continue
        tensors = safetensors.torch.load(data) | {name: tensor.to(dtype)}
        with pytest.raises(CodecError):
            read(safetensors.torch.save(tensors, metadata=header["__metadata__"]))


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)


@given(
    st.dictionaries(NAMES, npst.array_shapes(min_dims=0, min_side=0, max_side=4), max_size=5),
    st.sampled_from([np.uint8, np.float16, np.float32, np.float64, np.int64]),
    st.dictionaries(st.just("sift"), NAMES, min_size=1),
)
def test_a_head_is_the_one_of_the_format_s_own_library(
    shapes: dict[str, tuple[int, ...]], dtype: type, metadata: dict[str, str]
) -> None:
    tensors = {name: np.ones(shapes[name], dtype) for name in sorted(shapes)}
    theirs = safetensors.numpy.save(tensors, metadata=metadata)
    assert theirs.startswith(plain_head(dtype, shapes, metadata))
    body = b"".join(tensor.tobytes() for tensor in tensors.values())
    assert plain_head(dtype, shapes, metadata) + body == theirs


def test_one_kind_of_file_is_not_read_as_another() -> None:
    for kind, (data, _) in FILES.items():
        for other, (_, read) in FILES.items():
            if kind != other:
                with pytest.raises(CodecError, match="it is a"):
                    read(data)


def test_files_do_not_depend_on_the_order_in_which_they_were_filled() -> None:
    tensors = {name: np.ones(shape, np.int64) for name, shape in SHAPES.items()}
    backwards = dict(reversed(tensors.items()))
    assert encode("merge/1", tensors, {"a": 1, "b": 2}) == encode(
        "merge/1", backwards, {"b": 2, "a": 1}
    )


def test_memory_layout_does_not_show_in_a_file() -> None:
    tensor = np.arange(12, dtype=np.int64).reshape(3, 4)
    assert encode("merge/1", {"p": tensor}, {}) == encode(
        "merge/1", {"p": np.asfortranarray(tensor)}, {}
    )
