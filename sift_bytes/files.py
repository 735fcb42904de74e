"""Files that are written under a new name, checked, flushed, and only then made current.

A reader sees the old bytes or the new ones, never a part.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = ".writing-"
"""How the name of a file begins that has no name of its own yet."""
_FLUSH_EVERY = 1 << 25
"""Bytes between two flushes of a file that is being written."""
_COPY = 1 << 22
"""Bytes of a file that are copied at a time."""


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
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=UNFINISHED)
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

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes. Raises OSError.

        They are not read back: the system would give them from its memory, whatever the disk did.
        Flushing says whether the disk has them, and who reads them later hashes them. Now and then
        what was written is flushed, so that the disk is at work while more is made.
        """
        self.overwrite(self.size, data)
        self.size += len(data)
        if self.size - self._flushed >= _FLUSH_EVERY:
            os.fdatasync(self._handle)
            self._flushed = self.size

    def overwrite(self, start: int, data: bytes | memoryview) -> None:
        """Put bytes at a place. Raises OSError."""
        written = 0
        while written < len(data):
            written += os.pwrite(self._handle, data[written:], start + written)

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
