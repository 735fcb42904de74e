"""A backup as a file: a tar of a manifest, then each content once, named by its SHA-256.

    manifest.json             format, when, of which workspace, and every file with its digest
    signature.dsse.json       who says so (flows/operations/backup/signature.py)
    objects/<SHA-256>         a file's bytes; the workspace, DVC's cache and its remote share most

Reading trusts nothing: the manifest is not even parsed before it is known to be authentic, a name
is refused before it leads anywhere, every byte is hashed as it is written, and whatever is missing,
twice or more than the manifest says is an error.
"""

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.errors import FlowError, UsageError
from flows.operations.backup.contents import first_wrong_ref, is_kept, is_kept_folder
from flows.operations.backup.signature import LONGEST, Trust, sign
from flows.workspace.home import HomeId
from lineage.certificates.envelope import SigningKey
from lineage.records import Sha256
from lineage.times import Utc
from sift_bytes import sha256_of

MANIFEST, SIGNATURE = "manifest.json", "signature.dsse.json"
_OBJECTS = "objects/"
_BLOCK = 1 << 20
_LONGEST_MANIFEST = 1 << 30
Mode = Annotated[int, Field(ge=0, le=0o777)]


class BackupError(FlowError):
    """A backup could not be made, or is not what it was when it was made."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Folder(_Part):
    """One folder, relative to the workspace."""

    path: str
    mode: Mode


class File(_Part):
    """One file, relative to the workspace; `bytes` is its size."""

    path: str
    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]
    mode: Mode


class Manifest(_Part):
    """What a backup holds."""

    format: Literal["sift-backup/2"]
    backup_id: str
    home_id: HomeId
    workspace: str
    """The absolute path it was made of: MLflow's rows name it."""
    host: str
    """The machine it was made on."""
    place: str
    """The file it was written to; departures are noted beside that."""
    remote: str
    """Where DVC pushed to: a URL, or a path relative to `.dvc`."""
    remote_endpoint: str | None
    made_at: Utc
    code_version: str
    folders: tuple[Folder, ...]
    files: tuple[File, ...]


def write_archive(
    target: Path, manifest: Manifest, sources: Mapping[str, Path], key: SigningKey
) -> str:
    """Write the archive, signed; the SHA-256 of its manifest. `sources`: where each file is read.

    Readable by its owner alone; under its own name once it is whole and on the disk. Raises
    BackupError where a file is no longer what the manifest says.
    """
    data = manifest.model_dump_json(indent=1).encode()
    signature = sign(key, data, manifest.backup_id)
    draft = target.with_name(f"{target.name}.part")
    draft.unlink(missing_ok=True)
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            with tarfile.open(fileobj=file, mode="w|") as archive:
                for name, content in ((MANIFEST, data), (SIGNATURE, signature)):
                    archive.addfile(_entry(name, len(content)), io.BytesIO(content))
                written = set()
                for one in manifest.files:
                    if one.sha256 not in written:
                        _add(archive, one, sources[one.path])
                        written.add(one.sha256)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return sha256_of(data)


def _add(archive: tarfile.TarFile, one: File, source: Path) -> None:
    with source.open("rb") as file:
        reading = _Hashed(file)
        try:
            archive.addfile(_entry(_OBJECTS + one.sha256, one.bytes), reading)
        except OSError as error:
            if error.errno is not None:
                raise
            raise _changed(one) from error  # tarfile: the file is shorter than it was
        if reading.hexdigest() != one.sha256 or file.read(1):
            raise _changed(one)


class _Hashed(io.RawIOBase):
    """A file that hashes what is read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest = file, hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """Read on, and hash."""
        data = self._file.read(size)
        self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        """SHA-256 of what was read."""
        return self._digest.hexdigest()


def read_archive(source: Path, folder: Path, trust: Trust) -> Manifest:
    """Unpack an archive into a new folder; its manifest.

    Raises UsageError for a file that is no backup, EvidenceError for one that `trust` does not
    know, BackupError for one that is damaged or holds what no backup holds; what is in `folder`
    then is rubbish.
    """
    try:
        with tarfile.open(source, mode="r|") as archive:
            entries = iter(archive)
            data = _small(source, archive, next(entries, None), MANIFEST, _LONGEST_MANIFEST)
            signature = _small(source, archive, next(entries, None), SIGNATURE, LONGEST)
            trust.require_authentic(data, signature, str(source))
            manifest = _parse(source, data)
            _unpack(source, archive, entries, manifest, folder)
    except (tarfile.TarError, EOFError) as error:
        raise _damaged(source, f"it is no whole tar: {error}") from error
    _require_refs(source, folder, manifest)
    return manifest


def _small(
    source: Path, archive: tarfile.TarFile, entry: tarfile.TarInfo | None, name: str, most: int
) -> bytes:
    """One of the two files that an archive begins with."""
    file = None
    if entry is not None and entry.name == name and entry.size <= most and entry.isfile():
        file = archive.extractfile(entry)
    if file is None:
        raise UsageError(
            f"{source} is no backup of a workspace.", remedy="name a file that `sift backup` wrote."
        )
    return file.read()


def _require_refs(source: Path, folder: Path, manifest: Manifest) -> None:
    """Raise BackupError where a name of git's history is not of git's form: it could be a path."""
    names = [one.path for one in manifest.files if one.path.startswith(".git/")]
    small = [name for name in names if not name.startswith(".git/objects/")]
    if wrong := first_wrong_ref({name: (folder / name).read_bytes() for name in small}):
        raise _damaged(source, f"{wrong} is not as git writes it")


def _parse(source: Path, data: bytes) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _damaged(source, f"its manifest: {where}: {first['msg']}") from error
    paths = [own.path for own in manifest.folders] + [one.path for one in manifest.files]
    if odd := [path for path in paths if not _is_inside(path)]:
        raise _damaged(source, f"it would write to {odd[0]!a}")
    own = [one.path for one in manifest.files if not is_kept(one.path)]
    own += [one.path for one in manifest.folders if not is_kept_folder(one.path)]
    if own:
        raise _damaged(source, f"it would write {own[0]!a}, which no backup holds")
    if len(set(paths)) < len(paths):
        raise _damaged(source, "it names a file twice")
    return manifest


def _is_inside(path: str) -> bool:
    parts = path.split("/")
    plain = not PurePosixPath(path).is_absolute() and "\x00" not in path and "\\" not in path
    return plain and all(part not in ("", ".", "..") for part in parts)


def _unpack(
    source: Path,
    archive: tarfile.TarFile,
    entries: Iterator[tarfile.TarInfo],
    manifest: Manifest,
    folder: Path,
) -> None:
    by_content: dict[str, list[File]] = {}
    for one in manifest.files:
        by_content.setdefault(one.sha256, []).append(one)
    for own in sorted(manifest.folders, key=lambda one: one.path):
        (folder / own.path).mkdir(parents=True, mode=0o700)
    for entry in entries:
        sha256 = entry.name.removeprefix(_OBJECTS)
        files = by_content.pop(sha256, None)
        content = archive.extractfile(entry) if entry.isfile() else None
        if files is None or content is None or not entry.name.startswith(_OBJECTS):
            raise _damaged(source, f"it holds {entry.name!a}, which its manifest does not name")
        first, *others = files
        _write(folder / first.path, content, first, source)
        for other in others:
            _create(folder / other.path, other.mode)
            shutil.copyfile(folder / first.path, folder / other.path)
    if by_content:
        raise _damaged(source, f"{len(by_content)} contents are missing: it was cut off")
    for own in manifest.folders:
        (folder / own.path).chmod(own.mode | 0o700)


def _write(path: Path, content: IO[bytes], one: File, source: Path) -> None:
    _create(path, one.mode)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while block := content.read(_BLOCK):
            digest.update(block)
            file.write(block)
    if digest.hexdigest() != one.sha256:
        raise _damaged(source, f"{one.path} is not the bytes that were backed up")


def _create(path: Path, mode: int) -> None:
    """Make the empty file; never readable by more than it was, nor over one that is there."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, (mode | 0o600) & 0o777))
    path.chmod(mode | 0o600)


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry


def _damaged(source: Path, what: str) -> BackupError:
    return BackupError(
        f"The backup {source} is damaged: {what}.",
        remedy="restore another one; nothing was written.",
    )


def _changed(one: File) -> BackupError:
    return BackupError(
        f"{one.path} was changed while it was being backed up.",
        remedy="let whoever changes it finish, then make the backup again.",
    )
