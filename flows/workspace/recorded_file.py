"""A file as lineage recorded it: where it belongs, what it must be, and whether it is."""

from dataclasses import dataclass
from pathlib import Path

from flows.workspace.workspace import Workspace
from lineage import DatasetVersionRecord, Member, MergeStateRecord, TaskVectorRecord
from sift_bytes import file_sha256, sha256_of


@dataclass(frozen=True)
class RecordedFile:
    """One file of a workspace, by its path, and the digests that lineage recorded of it, in hex.

    `flows.workspace.recorded_files.put_back` brings it back.
    """

    path: Path
    sha256: str
    md5: str

    @property
    def is_whole(self) -> bool:
        """Whether the file is there, the recorded bytes."""
        return self.path.is_file() and file_sha256(self.path) == self.sha256

    def content(self) -> bytes | None:
        """The recorded bytes; None where the file is missing or holds others."""
        data = self.path.read_bytes() if self.path.is_file() else b""
        return data if sha256_of(data) == self.sha256 else None


def dataset_file(workspace: Workspace, row: DatasetVersionRecord) -> RecordedFile:
    """The file of a dataset version."""
    return RecordedFile(workspace.data_file(row.contributor_key, row.sha256), row.sha256, row.md5)


def vector_file(workspace: Workspace, row: TaskVectorRecord | Member) -> RecordedFile:
    """The file of a task vector."""
    path = workspace.vector_file(row.contributor_key, row.vector_sha256)
    return RecordedFile(path, row.vector_sha256, row.vector_md5)


def mask_file(workspace: Workspace, row: TaskVectorRecord | Member) -> RecordedFile:
    """The file of a mask."""
    path = workspace.mask_file(row.contributor_key, row.mask_sha256)
    return RecordedFile(path, row.mask_sha256, row.mask_md5)


def state_file(workspace: Workspace, row: MergeStateRecord) -> RecordedFile:
    """The file of a merge state."""
    return RecordedFile(workspace.state_file(row.state_sha256), row.state_sha256, row.md5)
