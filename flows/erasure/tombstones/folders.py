"""A place where departures are noted: a folder, or one in a DVC remote elsewhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flows.erasure.tombstones.tombstone import is_file_name, own_folder
from flows.errors import FlowError
from flows.workspace.workspace import Workspace

FOLDER = "departures"


class LedgerError(FlowError):
    """A place of departures cannot be reached."""


class Ledger(Protocol):
    """One place. Its methods raise LedgerError or DvcError where it cannot be reached."""

    @property
    def where(self) -> str:
        """The place, for people."""

    def names(self) -> set[str]:
        """The notes that are there, by file name."""

    def read(self, name: str) -> bytes:
        """One note."""

    def write(self, name: str, data: bytes) -> None:
        """Write one note; again is the same."""


@dataclass(frozen=True)
class FolderLedger:
    """A folder; made when it is written to, where `within` exists: that may be a disk.

    With `only_to_write`, a missing `within` has no notes, and is an error for who writes one.
    """

    folder: Path
    within: Path | None = None
    only_to_write: bool = False

    @property
    def where(self) -> str:
        """The folder, for people."""
        return str(self.folder)

    def names(self) -> set[str]:
        """The notes in the folder."""
        if not self.only_to_write:
            self._require()
        paths = self.folder.iterdir() if self.folder.is_dir() else ()
        return {path.name for path in paths if is_file_name(path.name)}

    def read(self, name: str) -> bytes:
        """One note."""
        return (self.folder / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Write one note."""
        from sift_bytes import write_atomically  # torch, which looking does not need

        self._require()
        write_atomically(self.folder / name, data)

    def _require(self) -> None:
        if self.within is not None and not self.within.is_dir():
            raise LedgerError(
                f"{self.within} is away: departures are noted there.",
                remedy="mount or connect it again; or, where it is gone for good, name another "
                "folder in its place: policy.ledger in params.yaml, or `dvc remote modify storage "
                "url FOLDER`.",
            )


@dataclass(frozen=True)
class RemoteLedger:
    """A folder in a DVC remote that is no folder of this machine."""

    workspace: Workspace

    @property
    def where(self) -> str:
        """The place, for people."""
        return "the DVC remote"

    def names(self) -> set[str]:
        """The notes in the remote."""
        return set(filter(is_file_name, self.workspace.dvc.notes.names(self._folder)))

    def read(self, name: str) -> bytes:
        """One note."""
        return self.workspace.dvc.notes.read(self._folder, name)

    def write(self, name: str, data: bytes) -> None:
        """Write one note."""
        self.workspace.dvc.notes.write(self._folder, name, data)

    @property
    def _folder(self) -> str:
        return f"{FOLDER}/{own_folder(self.workspace.root)}"
