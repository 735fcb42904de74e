"""Vectors and merge states as files, with the digests that lineage would have recorded."""

from pathlib import Path

from hypothesis import HealthCheck, settings

from sift_bytes import sha256_of
from sift_core import MergeState, StoredState, StoredVector, TaskVector

in_one_folder = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30
)
"""For properties of files: all examples share the test's folder, where content names a file."""


def stored_file(folder: Path, data: bytes) -> tuple[Path, str]:
    """A file named by its SHA-256."""
    sha256 = sha256_of(data)
    path = folder / f"{sha256}.safetensors"
    path.write_bytes(data)
    return path, sha256


def stored(folder: Path, one: TaskVector) -> StoredVector:
    """A vector and its mask on disk."""
    vector, vector_sha256 = stored_file(folder, one.to_bytes())
    mask, mask_sha256 = stored_file(folder, one.mask.to_bytes())
    return StoredVector(vector, mask, vector_sha256, mask_sha256)


def stored_state(folder: Path, state: MergeState, members: int) -> StoredState:
    """A merge state of so many members on disk."""
    return StoredState(*stored_file(folder, state.to_bytes()), members)
