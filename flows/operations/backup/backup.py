"""Backing up a workspace: a copy of everything that cannot be made again, at one moment.

Nobody changes the workspace meanwhile: the lock is held, and a reader of lineage, since decisions
are written without the lock. Lineage knows of the copy before its first byte is written, so that
an opt-out can say which copies still hold what it destroyed. Beside the backup lies a folder in
which later opt-outs note who has left: restoring reads it.
"""

import platform
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.erasure.tombstones.places import (
    BESIDE,
    COPIES,
    beside,
    make_beside,
    origin_of,
    require_nobody_back,
)
from flows.errors import UsageError
from flows.integrations.dvc.settings import remote_endpoint, remote_url
from flows.operations.backup.archive import BackupError, File, Folder, Manifest, write_archive
from flows.operations.backup.contents import is_kept, is_kept_folder, is_refused
from flows.progress import tracked
from flows.workspace.keyring import Keys
from flows.workspace.texts import MAX_NAME_LENGTH, login_name, require_nameless, require_text
from flows.workspace.workspace import Workspace
from lineage import BackupRecord
from sift_bytes import file_sha256

_OF_MLFLOW = ("mlflow.db-wal", "mlflow.db-shm")
_ROOM = 1.01
"""A tar is this much larger than what is in it, and its manifest."""


@dataclass(frozen=True)
class Made:
    """A backup that was made; `sha256` is that of its manifest, which names every byte."""

    backup_id: str
    file: Path
    files: int
    bytes: int
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def make_backup(workspace: Workspace, target: Path, by: str | None = None) -> Made:
    """Write a backup to the new file `target`, or into the folder `target`; mode 0600.

    It holds the secret of contributor keys and the signing keys: without them nobody could go on
    from it. Raises UsageError for a file that exists or lies inside the workspace or names a
    contributor, BackupError, WorkspaceBusyError, BroughtBackError.
    """
    by = by or login_name()
    require_text("name", by, MAX_NAME_LENGTH)
    now = datetime.now(UTC)
    target = _target(workspace, target, now)
    _require_own_stores(workspace)
    with workspace.lock():
        require_nobody_back(workspace)
        with workspace.lineage.reader() as reader:
            names = [row.external_id for row in reader.contributors() if row.external_id]
        require_nameless(names, str(target), by)
        with workspace.lineage.writer() as recorder:
            noted = recorder.process.note_backup(str(target), by, now)
        try:
            return _write(workspace, target, noted)
        except BaseException:
            shutil.rmtree(beside(noted.place), ignore_errors=True)
            with workspace.lineage.writer() as recorder:
                recorder.process.mark_backup_destroyed(noted.backup_id, by, datetime.now(UTC))
            raise


def destroy_backup(workspace: Workspace, backup_id: str, by: str | None = None) -> BackupRecord:
    """Delete a backup and what lies beside it, look for it again, and say so in lineage.

    Where it is gone already, lineage learns that. What copies that were made of it say stays, since
    they read there who leaves. Raises LineageNotFoundError, UsageError where the folder it was
    written to is out of reach, so that nobody can say whether it is gone, and where it belongs to
    the workspace that this one is a copy of.
    """
    by = by or login_name()
    require_text("name", by, MAX_NAME_LENGTH)
    with workspace.lineage.reader() as reader:
        rows = [row for row in reader.process.backups() if row.backup_id == backup_id]
    if (origin := origin_of(workspace)) and any(row.made_at <= origin.at for row in rows):
        raise UsageError(
            f"{backup_id} is a backup of {origin.path}, of which this workspace is a copy.",
            remedy="destroy it there.",
        )
    for row in rows:
        path = Path(row.place)
        if not path.parent.is_dir():
            raise UsageError(
                f"{path.parent} is away, and {backup_id} was written there.",
                remedy="mount or connect it, then run this again.",
            )
        path.unlink(missing_ok=True)
        if not list(beside(row.place).glob(f"*/{COPIES}/*")):
            shutil.rmtree(beside(row.place), ignore_errors=True)
    with workspace.lineage.writer() as recorder:
        recorder.process.mark_backup_destroyed(backup_id, by, datetime.now(UTC))
        return next(row for row in recorder.read.process.backups() if row.backup_id == backup_id)


def _require_own_stores(workspace: Workspace) -> None:
    """Raise UsageError where lineage or models lie elsewhere: this would be half of a backup."""
    stores = workspace.settings.stores
    shared = [name for name in ("lineage", "mlflow") if getattr(stores, name)]
    if shared:
        raise UsageError(
            f"This workspace shares stores.{' and stores.'.join(shared)}, not files in it.",
            remedy="back shared stores up by their own means, such as pg_dump, and the folder "
            "with them, at one moment at which nobody builds or removes.",
        )


def _target(workspace: Workspace, target: Path, now: datetime) -> Path:
    target = target.resolve()
    if target.is_dir():
        target = target / f"{workspace.settings.model.name}-{now:%Y%m%dT%H%M%SZ}.sift-backup"
    if target.exists() or Path(f"{target}{BESIDE}").exists():
        raise UsageError(f"{target} exists already.", remedy="name a new file, or a folder.")
    if target.is_relative_to(workspace.root):
        raise UsageError(
            f"{target} lies in the workspace, and would be lost with it.",
            remedy="name a place outside, best on another disk.",
        )
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent}.", remedy="make it first.")
    return target


def _write(workspace: Workspace, target: Path, noted: BackupRecord) -> Made:
    from flows.training.environment import (
        code_version,  # torch, which looking at backups does not need
    )

    key = Keys(workspace.root).signing_key()
    make_beside(workspace, noted.place)
    with workspace.scratch("backup") as folder, workspace.lineage.reader():
        sources = _sources(workspace, folder)
        files = tuple(
            File(
                path=name,
                sha256=file_sha256(path),
                bytes=path.stat().st_size,
                mode=stat.S_IMODE((workspace.root / name).stat().st_mode),
            )
            for name, path in tracked("Hashing", sources.items(), len(sources))
        )
        size = sum({one.sha256: one.bytes for one in files}.values())
        _require_room(target, size)
        manifest = Manifest(
            format="sift-backup/2",
            backup_id=noted.backup_id,
            home_id=workspace.identity,
            workspace=str(workspace.root),
            host=platform.node(),
            place=str(target),
            remote=remote_url(workspace.root),
            remote_endpoint=remote_endpoint(workspace.root),
            made_at=noted.made_at,
            code_version=code_version(),
            folders=tuple(_folders(workspace)),
            files=files,
        )
        sha256 = write_archive(target, manifest, sources, key)
    return Made(noted.backup_id, target, len(files), target.stat().st_size, sha256)


def _sources(workspace: Workspace, scratch: Path) -> dict[str, Path]:
    """Every file of the workspace by name, and where to read it."""
    found = {}
    for name, path in _kept(workspace.root):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BackupError(
                f"{name} is a link or no plain file.",
                remedy="put the file itself in its place, then make the backup again.",
            )
        if path.is_file():
            found[name] = path
    if "mlflow.db" in found:  # a server may be writing to it
        found["mlflow.db"] = _copy_of_database(found["mlflow.db"], scratch / "mlflow.db")
    return found


def _copy_of_database(database: Path, copy: Path) -> Path:
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def _folders(workspace: Workspace) -> Iterator[Folder]:
    for name, path in _kept(workspace.root):
        if path.is_dir() and not path.is_symlink():
            yield Folder(path=name, mode=stat.S_IMODE(path.stat().st_mode))


def _kept(root: Path) -> Iterator[tuple[str, Path]]:
    """What a backup holds, files and folders, by name.

    Raises BackupError for what git or DVC would take for a repository of its own.
    """
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if is_refused(name):
            raise BackupError(
                f"{name} would have git or DVC do what it says, where it is restored.",
                remedy="move it out of the workspace, then make the backup again.",
            )
        is_folder = path.is_dir() and not path.is_symlink()
        if name not in _OF_MLFLOW and (is_kept_folder(name) if is_folder else is_kept(name)):
            yield name, path


def _require_room(target: Path, size: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < size * _ROOM:
        raise UsageError(
            f"{target.parent} has {free} bytes free, and the backup takes {size}.",
            remedy="make room there, or name another place.",
        )
