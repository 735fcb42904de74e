"""Reading the files of masks, task vectors and merge states as a whole."""

from pathlib import Path

from sift_bytes import sha256_of
from sift_core.block_reader import StoredState, StoredVector
from sift_core.canonical import altered
from sift_core.definitions import MergeState
from sift_core.mask import Mask
from sift_core.task_vector import TaskVector


def read_mask(path: Path, sha256: str) -> Mask:
    """Read a mask file. Raises AlteredError where its SHA-256 is another, CodecError."""
    return Mask.from_bytes(_read(path, sha256), str(path))


def read_vector(stored: StoredVector) -> TaskVector:
    """Read a vector and its mask. Raises AlteredError, CodecError, MismatchError."""
    mask = read_mask(stored.mask, stored.mask_sha256)
    data = _read(stored.vector, stored.vector_sha256)
    return TaskVector.from_bytes(data, mask, str(stored.vector))


def read_state(stored: StoredState) -> MergeState:
    """Read a merge state as a whole. Raises AlteredError, CodecError, MiscountError."""
    state = MergeState.from_bytes(_read(stored.path, stored.sha256), str(stored.path))
    state.require_members(stored.members)
    return state


def _read(path: Path, sha256: str) -> bytes:
    data = path.read_bytes() if path.is_file() else b""
    if sha256_of(data) != sha256:
        raise altered(path, sha256_of(data) if data else None, sha256)
    return data
