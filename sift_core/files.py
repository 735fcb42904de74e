"""Reading and writing the files of masks, task vectors and merge states.

A reader sees the old bytes or the new ones, never a part.
"""

import os
import tempfile
from pathlib import Path

from sift_core.canonical import RESTORE
from sift_core.errors import CodecError
from sift_core.mask import Mask
from sift_core.merge import MergeState
from sift_core.task_vector import TaskVector


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
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CodecError(f"{path} is missing.", remedy=RESTORE) from error
