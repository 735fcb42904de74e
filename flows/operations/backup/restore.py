"""Restoring a workspace from a backup: every byte checked, then whoever has left since removed.

A restored workspace counts only once it is whole: it is unpacked beside its place and takes it by
rename. Then the departures that were noted since the backup are carried out again, so that nobody
who left is in what is served.
"""

import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from flows.erasure.catch_up import catch_up
from flows.erasure.tombstones.copies import announce
from flows.erasure.tombstones.folders import FOLDER, FolderLedger
from flows.erasure.tombstones.places import COPIES, beside
from flows.erasure.tombstones.tombstone import own_folder
from flows.errors import UsageError
from flows.integrations.git import Git
from flows.integrations.mlflow.relocation import move_store
from flows.integrations.usable_paths import require_usable
from flows.operations.backup.archive import BackupError, Manifest, read_archive
from flows.operations.backup.signature import Trust
from flows.operations.relocation import give_remote, move_note_of_remote, moved_remote
from flows.opt_out import take_steps
from flows.workspace.home import Home, Origin, new_id, still_lives, write_home
from flows.workspace.settings_file import load_settings
from flows.workspace.workspace import Workspace


@dataclass(frozen=True)
class Restored:
    """A workspace that was restored, and the opt-outs that were carried out again in it."""

    workspace: Path
    backup_id: str
    made_at: str
    files: int
    departures: int
    """How many notes of opt-outs were found beside the backup and elsewhere."""
    copy_of: str | None
    """The workspace that it is a copy of; None where it takes that one's place."""
    carried_out_again: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def restore(
    backup: Path,
    folder: Path,
    trust: Trust,
    *,
    departures: Sequence[Path] = (),
    nobody_left: bool = False,
    take_over: bool | None = None,
) -> Restored:
    """Restore a backup into a new or empty folder, and remove again who has left since.

    `trust` is what the backup is known by. `departures` are folders with notes of opt-outs, besides
    the one beside the backup; without any, `nobody_left` must say that nobody has left.
    `take_over` says whether the workspace that it was made of is lost and this one goes on in its
    place, or whether this is a copy beside it; None: as can be seen. Raises UsageError,
    EvidenceError, BackupError; then nothing is left behind. After that, what an opt-out raises: the
    workspace is there, and `sift opt-out run` goes on.
    """
    folder = folder.resolve()
    require_usable(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty.", remedy="name a new or an empty folder.")
    places = _places(backup, departures, nobody_left)
    trust.require_any()
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(prefix=f".{folder.name[:80]}.restoring-", dir=folder.parent))
    try:
        manifest = read_archive(backup, draft, trust)
        home = _home_of(manifest, folder, take_over)
        home = _linked(home, draft, manifest, backup, places)
        notes = _settle(draft, home, manifest, places)
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    workspace = Workspace.open(folder)
    announce(workspace, home)
    with workspace.lock():
        again = catch_up(workspace, take_steps)
    return Restored(
        workspace=folder,
        backup_id=manifest.backup_id,
        made_at=manifest.made_at.isoformat(),
        files=len(manifest.files),
        departures=len(notes),
        copy_of=manifest.workspace if home.id != manifest.home_id else None,
        carried_out_again=[removal.request_id for removal in again],
    )


def _home_of(manifest: Manifest, folder: Path, take_over: bool | None) -> Home:
    """Whether this goes on in the place of the workspace that was backed up, or is a copy of it.

    Raises UsageError where nobody can see that, or where what was said is seen to be wrong.
    """
    before = Home(id=manifest.home_id, path=manifest.workspace)
    is_there = still_lives(before)
    if is_there and take_over:
        raise UsageError(
            f"The workspace {before.path} is there, so nothing can take its place.",
            remedy="restore without --take-over: a copy; or move that workspace away first.",
        )
    if take_over is None:
        same_place = before.path == str(folder) and manifest.host == platform.node()
        if not is_there and not same_place:
            raise UsageError(
                f"Nobody can see from here whether the workspace {before.path} on {manifest.host} "
                "still exists.",
                remedy="give --take-over if it is lost and this one goes on in its place, or --copy"
                " if it goes on: a copy has stores of its own.",
            )
        take_over = same_place
    return Home(
        id=manifest.home_id if take_over else new_id(),
        path=str(folder),
        origin=Origin(
            home_id=manifest.home_id,
            path=manifest.workspace,
            backup_id=manifest.backup_id,
            at=manifest.made_at,
        ),
    )


def _linked(
    home: Home, draft: Path, manifest: Manifest, backup: Path, places: Sequence[Path]
) -> Home:
    """The same, with the folders in which the workspace that was backed up notes who leaves."""
    # What lies beside a backup that was carried elsewhere is told nothing any more.
    was_carried = Path(manifest.place) != backup.resolve() or manifest.host != platform.node()
    silent = beside(str(backup.resolve())) if was_carried else None
    own = own_folder(draft)
    told = [place / own for place in places if place != silent and (place / own).is_dir()]
    links = [str(folder.resolve()) for folder in told]
    if still_lives(Home(id=manifest.home_id, path=manifest.workspace)):
        departures = Path(manifest.workspace) / ".sift" / FOLDER
        departures.mkdir(mode=0o700, exist_ok=True)
        links.append(str(departures))
    origin = home.origin and home.origin.model_copy(update={"links": tuple(links)})
    return home.model_copy(update={"origin": origin})


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


def _notes(root: Path, home: Home, places: Sequence[Path]) -> dict[str, bytes]:
    """The notes of the workspace at `root` in these folders, which others may share.

    Of a copy, those of the workspace that it was made of, and its own.
    """
    notes: dict[str, bytes] = {}
    for place in places:
        own = place / own_folder(root)
        of_a_copy = FolderLedger(own / COPIES / (home.origin.home_id or "" if home.origin else ""))
        for ledger in (FolderLedger(own if own.is_dir() else place), of_a_copy):
            notes |= {name: ledger.read(name) for name in ledger.names()}
    return notes


def _settle(
    draft: Path, home: Home, manifest: Manifest, places: Sequence[Path]
) -> dict[str, bytes]:
    """Make what was unpacked fit for its place, and put the notes where every command reads."""
    if not (draft / "params.yaml").is_file() or not (draft / ".sift").is_dir():
        raise BackupError(
            "The backup holds no workspace.", remedy="restore another one; nothing was written."
        )
    before, folder = Path(manifest.workspace), Path(home.path)
    is_copy = home.id != manifest.home_id
    if is_copy and load_settings(draft / "params.yaml").stores.remote:
        raise UsageError(
            f"The backup names stores.remote, which {before} uses: a copy cannot use it too.",
            remedy="restore it with --take-over once that workspace is lost.",
        )
    _write_settings_anew(draft, manifest)
    move_store(draft, before, folder)
    (draft / ".sift" / "tmp").mkdir(exist_ok=True)
    move_note_of_remote(draft, before, folder)
    if is_copy:
        give_remote(draft, home.id)
    notes = _notes(draft, home, places)
    for name, data in notes.items():
        FolderLedger(draft / ".sift" / FOLDER).write(name, data)
    write_home(draft, home)
    return notes


def _write_settings_anew(draft: Path, manifest: Manifest) -> None:
    """Settings of git and DVC, which can name programs and places: ours, not what a backup has."""
    from flows.integrations.dvc.config import Remote, configure  # a second of imports

    Git.init(draft).index_anew()
    (draft / ".dvc").mkdir(exist_ok=True)
    remote = moved_remote(manifest.remote, Path(manifest.workspace), draft)
    configure(draft / ".dvc", Remote(remote, manifest.remote_endpoint))
