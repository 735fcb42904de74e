"""Files on disk are whole or not there."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sift_core import MergeState, read_mask, read_state, read_vector, write_atomically
from sift_core.errors import CodecError, MismatchError
from tests.sift_core.builders import GRID, SEED, SHAPES, vector


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The kernel stops writing at `size` bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    one = vector(1)
    state = MergeState.rebuild([one], SHAPES, GRID, SEED)
    folder = tmp_path / "new" / "folder"
    write_atomically(folder / "mask", one.mask.to_bytes())
    write_atomically(folder / "vector", one.to_bytes())
    write_atomically(folder / "merge", state.to_bytes())
    mask = read_mask(folder / "mask")
    assert read_vector(folder / "vector", mask).to_bytes() == one.to_bytes()
    assert read_state(folder / "merge").to_bytes() == state.to_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["mask", "merge", "vector"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_atomically(path, b"old")
    with largest_file(1000), pytest.raises(OSError, match="File too large"):
        write_atomically(path, b"new" * 1000)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_can_be_replaced_and_is_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o644


def test_errors_name_the_file_and_the_remedy(tmp_path: Path) -> None:
    one, other = vector(1), vector(2)
    path = tmp_path / "some.safetensors"
    for read in (read_mask, read_state, lambda file: read_vector(file, one.mask)):
        with pytest.raises(CodecError, match=r"some\.safetensors is missing.*dvc checkout"):
            read(path)
    path.write_bytes(one.to_bytes()[:-1])
    with pytest.raises(CodecError, match=r"some\.safetensors is truncated or altered.*sift verify"):
        read_vector(path, one.mask)
    path.write_bytes(one.to_bytes())
    with pytest.raises(MismatchError, match=r"some\.safetensors belongs to another mask"):
        read_vector(path, other.mask)
