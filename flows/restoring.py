"""Restoring a workspace from a backup: every byte checked, then whoever has left since removed.

A restored workspace counts only once it is whole: it is unpacked beside its place and takes it by
rename. Then the departures that were noted since the backup are carried out again, so that nobody
who left is in what is served.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from flows.backup_archive import BackupError, Manifest, read_archive
from flows.catching_up import catch_up
from flows.departures import own_folder
from flows.doors.mlflow_moving import move_store
from flows.errors import UsageError
from flows.ledger_places import FOLDER, FolderLedger
from flows.ledgers import beside
from flows.opt_out import take_steps
from flows.workspace import Workspace


@dataclass(frozen=True)
class Restored:
    """A workspace that was restored, and the opt-outs that were carried out again in it."""

    workspace: Path
    backup_id: str
    made_at: str
    files: int
    departures: int
    """How many notes of opt-outs were found beside the backup and elsewhere."""
    carried_out_again: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def restore(
    backup: Path,
    folder: Path,
    *,
    departures: Sequence[Path] = (),
    nobody_left: bool = False,
    sha256: str | None = None,
) -> Restored:
    """Restore a backup into a new or empty folder, and remove again who has left since.

    `departures` are folders with notes of opt-outs, besides the one beside the backup; without any,
    `nobody_left` must say that nobody has left. `sha256` is what the manifest's must be. Raises
    UsageError, BackupError; then nothing is left behind. After that, what an opt-out raises: the
    workspace is there, and `sift opt-out run` goes on.
    """
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty.", remedy="name a new or an empty folder.")
    places = _places(backup, departures, nobody_left)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(prefix=f".{folder.name}.restoring-", dir=folder.parent))
    try:
        manifest, found = read_archive(backup, draft)
        if sha256 is not None and sha256 != found:
            raise BackupError(
                f"The manifest of {backup} has SHA-256 {found}, not {sha256}.",
                remedy="it is another backup, or was altered; nothing was written.",
            )
        notes = _settle(draft, folder, manifest, places)
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    workspace = Workspace.open(folder)
    with workspace.lock():
        again = catch_up(workspace, take_steps)
    return Restored(
        workspace=folder,
        backup_id=manifest.backup_id,
        made_at=manifest.made_at.isoformat(),
        files=len(manifest.files),
        departures=len(notes),
        carried_out_again=[removal.request_id for removal in again],
    )


def _places(backup: Path, folders: Sequence[Path], nobody_left: bool) -> list[Path]:
    """The folders that say who has left since. Raises UsageError where there is none to read."""
    if not backup.is_file():
        raise UsageError(f"There is no file {backup}.", remedy="name a file of `sift backup make`.")
    own = beside(str(backup.resolve()))
    if away := [folder for folder in folders if not folder.is_dir()]:
        raise UsageError(
            f"There is no folder {away[0]}.", remedy="mount or connect it, or correct it."
        )
    known = [*folders, own] if own.is_dir() else list(folders)
    if not known and not nobody_left:
        raise UsageError(
            f"{own} is not there, so nobody can tell who has left since the backup.",
            remedy="bring that folder along, or name with --departures another place where they "
            "are noted (policy.ledger, or `departures` in the DVC remote); --nobody-left only if "
            "you know that no opt-out ended since.",
        )
    return known


def _notes(root: Path, places: Sequence[Path]) -> dict[str, bytes]:
    """The notes of the workspace at `root` in these folders, which others may share."""
    notes: dict[str, bytes] = {}
    for place in places:
        own = place / own_folder(root)
        ledger = FolderLedger(own if own.is_dir() else place)
        notes |= {name: ledger.read(name) for name in ledger.names()}
    return notes


def _settle(
    draft: Path, folder: Path, manifest: Manifest, places: Sequence[Path]
) -> dict[str, bytes]:
    """Make what was unpacked fit for its place, and put the notes where every command reads."""
    if not (draft / "params.yaml").is_file() or not (draft / ".sift").is_dir():
        raise BackupError(
            "The backup holds no workspace.", remedy="restore another one; nothing was written."
        )
    move_store(draft, Path(manifest.workspace), folder)
    (draft / ".sift" / "tmp").mkdir(exist_ok=True)
    pushed_to = draft / ".sift" / "pushed-to"
    if pushed_to.is_file():  # a remote inside the workspace has moved with it
        where = Path(pushed_to.read_text(encoding="utf-8"))
        if where.is_relative_to(manifest.workspace):
            moved = folder / where.relative_to(manifest.workspace)
            pushed_to.write_text(str(moved), encoding="utf-8")
    notes = _notes(draft, places)
    for name, data in notes.items():
        FolderLedger(draft / ".sift" / FOLDER).write(name, data)
    return notes
