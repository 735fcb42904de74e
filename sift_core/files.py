"""Reading and writing the files of masks, task vectors and merge states.

A reader sees the old bytes or the new ones, never a part.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sift_core.block_reader import StoredState, StoredVector
from sift_core.canonical import altered, sha256_of
from sift_core.mask import Mask
from sift_core.merge_state import MergeState
from sift_core.task_vector import TaskVector

_FLUSH_EVERY = 1 << 25
"""Bytes between two flushes of a file that is being written."""
_COPY = 1 << 22
"""Bytes of a file that are copied at a time."""


def read_mask(path: Path, sha256: str) -> Mask:
    """Read a mask file. Raises AlteredError where its SHA-256 is another, CodecError."""
    return Mask.from_bytes(_read(path, sha256), str(path))


def read_vector(stored: StoredVector) -> TaskVector:
    """Read a vector and its mask. Raises AlteredError, CodecError, MismatchError."""
    mask = read_mask(stored.mask, stored.mask_sha256)
    data = _read(stored.vector, stored.vector_sha256)
    return TaskVector.from_bytes(data, mask, str(stored.vector))


def read_state(stored: StoredState) -> MergeState:
    """Read a merge state as a whole. Raises AlteredError, CodecError."""
    return MergeState.from_bytes(_read(stored.path, stored.sha256), str(stored.path))


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` under a new name, flush it to disk, then make it current by rename.

    A full disk or a kill leaves what was at `path` as it was. Raises OSError.
    """
    with draft(path.parent) as file:
        file.write(data)
        file.keep(path)


@contextmanager
def draft(folder: Path) -> Iterator["Draft"]:
    """A new file without a name of its own in `folder`; gone afterwards unless it was kept."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".writing-")
    try:
        yield Draft(handle, Path(temporary))
    finally:
        os.close(handle)
        Path(temporary).unlink(missing_ok=True)


class Draft:
    """A file that is written in pieces, mostly front to back, before it has its name."""

    def __init__(self, handle: int, path: Path) -> None:
        self._handle = handle
        self._path = path
        self.size = 0
        self._flushed = 0
        self._found = bytearray()
        """What was read back, in one place: most pieces are of one size."""

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes, read them back, compare. Raises OSError.

        Now and then what was written is flushed, so that the disk is at work while more is made.
        """
        self.overwrite(self.size, data)
        self.size += len(data)
        if self.size - self._flushed >= _FLUSH_EVERY:
            os.fdatasync(self._handle)
            self._flushed = self.size

    def overwrite(self, start: int, data: bytes | memoryview) -> None:
        """Put bytes at a place, read them back, compare. Raises OSError."""
        written = 0
        while written < len(data):
            written += os.pwrite(self._handle, data[written:], start + written)
        if len(self._found) != len(data):
            self._found = bytearray(len(data))
        # Compared as bytearray, which is quick; a memoryview compares byte by byte.
        found: object = self._found
        if os.preadv(self._handle, [self._found], start) != len(data) or found != data:
            raise OSError(f"{self._path} does not give back what was written to it.")

    def copy(self, source: Path, left_out: Iterable[tuple[int, int]] = ()) -> None:
        """Append the bytes of another file but those from `start` to `stop` of each pair.

        Room is left for these: `overwrite` fills it. Raises OSError.
        """
        begin, ends = self.size, source.stat().st_size
        with source.open("rb") as file:
            for start, stop in (*sorted(left_out), (ends, ends)):
                file.seek(self.size - begin)
                while data := file.read(min(_COPY, start - (self.size - begin))):
                    self.write(data)
                if self.size != begin + start:
                    raise OSError(f"{source} was cut off while it was copied.")
                self.size = begin + stop

    def keep(self, path: Path) -> None:
        """Flush all to disk and give the file its name, in place of what had that name."""
        os.fsync(self._handle)
        os.fchmod(self._handle, 0o644)
        self._path.replace(path)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file of any size, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path, sha256: str) -> bytes:
    data = path.read_bytes() if path.is_file() else b""
    if sha256_of(data) != sha256:
        raise altered(path, sha256_of(data) if data else None, sha256)
    return data
