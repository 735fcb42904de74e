"""Files on disk are whole or not there."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sift_bytes import draft, file_sha256, write_atomically
from sift_core import MergeState, StoredState, StoredVector, read_mask, read_state, read_vector
from sift_core.errors import AlteredError, CodecError, MismatchError
from tests.support.builders import GRID, SEED, SHAPES, vector
from tests.support.on_disk import stored, stored_file


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
    for name, data in (("m", one.mask.to_bytes()), ("v", one.to_bytes()), ("s", state.to_bytes())):
        write_atomically(folder / name, data)
    mask, found, merge = (file_sha256(folder / name) for name in "mvs")
    assert read_mask(folder / "m", mask).to_bytes() == one.mask.to_bytes()
    stored = StoredVector(folder / "v", folder / "m", found, mask)
    assert read_vector(stored).to_bytes() == one.to_bytes()
    assert read_state(StoredState(folder / "s", merge, 1)).to_bytes() == state.to_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["m", "s", "v"]


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


def test_what_a_copy_leaves_out_is_filled_later_and_the_rest_is_the_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(100)))
    with draft(tmp_path) as file:
        file.copy(source, [(90, 100), (10, 20), (20, 21)])
        for start, stop in ((10, 21), (90, 100)):
            file.overwrite(start, b"n" * (stop - start))
        file.keep(tmp_path / "copy")
    kept = bytes(range(10)) + b"n" * 11 + bytes(range(21, 90)) + b"n" * 10
    assert (tmp_path / "copy").read_bytes() == kept


def test_a_source_that_ends_too_early_is_no_copy_with_a_hole(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(50))
    with draft(tmp_path) as file, pytest.raises(OSError, match="cut off"):
        file.copy(source, [(60, 70)])
    assert list(tmp_path.iterdir()) == [source]


def test_errors_name_the_file_and_the_remedy(tmp_path: Path) -> None:
    one = stored(tmp_path, vector(1))
    sha256 = one.vector_sha256
    gone = tmp_path / "some.safetensors"
    reads: list[Callable[[], object]] = [
        lambda: read_mask(gone, sha256),
        lambda: read_state(StoredState(gone, sha256, 1)),
        lambda: read_vector(StoredVector(gone, one.mask, sha256, one.mask_sha256)),
    ]
    for read in reads:
        with pytest.raises(AlteredError, match=r"some\.safetensors is missing.*dvc checkout"):
            read()
    gone.write_bytes(one.vector.read_bytes()[:-1])
    for read in reads:
        with pytest.raises(AlteredError, match=r"some\.safetensors has SHA-256.*sift verify"):
            read()


def test_what_was_never_a_canonical_file_is_refused_though_recorded(tmp_path: Path) -> None:
    one, other = stored(tmp_path, vector(1)), stored(tmp_path, vector(2))
    path, sha256 = stored_file(tmp_path, one.vector.read_bytes()[:-1])
    with pytest.raises(CodecError, match=f"{path.name} is truncated or altered.*sift verify"):
        read_vector(StoredVector(path, one.mask, sha256, one.mask_sha256))
    with pytest.raises(MismatchError, match=f"{one.vector.name} belongs to another mask"):
        read_vector(StoredVector(one.vector, other.mask, one.vector_sha256, other.mask_sha256))
