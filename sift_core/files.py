"""Reading and writing the files of masks, task vectors and merge states.

A reader sees the old bytes or the new ones, never a part.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sift_core.canonical import RESTORE
from sift_core.errors import CodecError
from sift_core.mask import Mask
from sift_core.merge import MergeState
from sift_core.task_vector import TaskVector

_FLUSH_EVERY = 1 << 25
"""Bytes between two flushes of a file that is being written."""


def read_mask(path: Path) -> Mask:
    """Read and check a mask file. Raises CodecError."""
    return Mask.from_bytes(_read(path), str(path))


def read_vector(path: Path, mask: Mask) -> TaskVector:
    """Read and check a vector file against its mask. Raises CodecError, MismatchError."""
    return TaskVector.from_bytes(_read(path), mask, str(path))


def read_state(path: Path) -> MergeState:
    """Read and check a merge-state file. Raises CodecError."""
    return MergeState.from_bytes(_read(path), str(path))


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
    """A file that is written front to back, in pieces, before it has its name."""

    def __init__(self, handle: int, path: Path) -> None:
        self._handle = handle
        self._path = path
        self.size = 0
        self._flushed = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes, read them back, compare. Raises OSError.

        Now and then what was written is flushed, so that the disk is at work while more is made.
        """
        start = self.size
        while self.size < start + len(data):
            self.size += os.write(self._handle, data[self.size - start :])
        if os.pread(self._handle, len(data), start) != data:
            raise OSError(f"{self._path} does not give back what was written to it.")
        if self.size - self._flushed >= _FLUSH_EVERY:
            os.fdatasync(self._handle)
            self._flushed = self.size

    def keep(self, path: Path) -> None:
        """Flush all to disk and give the file its name, in place of what had that name."""
        os.fsync(self._handle)
        os.fchmod(self._handle, 0o644)
        self._path.replace(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CodecError(f"{path} is missing.", remedy=RESTORE) from error
