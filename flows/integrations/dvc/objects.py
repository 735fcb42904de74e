"""DVC's stores seen as objects: which there are, what they hold, and deleting one for good.

A store is an object database of DVC's (`odb`): the cache, a folder, or a remote.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import sift_bytes
from flows.integrations.dvc.buckets import abort_uploads, delete_versions, is_bucket, versions
from flows.integrations.dvc.errors import DvcError

Place = Literal["dvc-cache", "dvc-remote"]
BOTH: tuple[Place, ...] = ("dvc-cache", "dvc-remote")

MD5 = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, order=True)
class StoredObject:
    """One object as stored in one place: a file's content, or a directory listing (`<md5>.dir`).

    `path` is where it lies there, `bytes` its size when it was found.
    """

    place: Place
    md5: str
    path: str
    bytes: int


@dataclass(frozen=True)
class Inventory:
    """What the cache and the remote hold, and why.

    `live` is what `Dvc.live_objects` says; `names` gives the names under which directory listings,
    of old commits too, name an object; `altered` are objects whose content is not their MD5.
    """

    objects: tuple[StoredObject, ...]
    live: frozenset[str]
    names: dict[str, frozenset[str]]
    altered: tuple[StoredObject, ...]


def stored(odb: Any) -> Iterator[tuple[str, str]]:
    """Walk a store; give MD5 and path of each object, and pass over what is no object."""
    for path in files(odb.fs, odb.path):
        if md5 := _md5_of(odb, path):
            yield md5, path


def hidden(odb: Any) -> Iterator[tuple[str, str, int]]:
    """Give MD5, path and bytes of objects that were deleted and that a bucket keeps even so."""
    if not is_bucket(odb.fs):
        return
    there = set(files(odb.fs, odb.path))
    sizes = {
        version.path: version.bytes
        for version in versions(odb.fs, odb.path + "/")
        if not version.is_marker and version.path not in there
    }
    for path, size in sizes.items():
        if md5 := _md5_of(odb, path):
            yield md5, path, size


def delete(odb: Any, md5: str) -> None:
    """Delete an object for good; one that is gone already is passed over."""
    if is_bucket(odb.fs):
        delete_versions(odb.fs, odb.oid_to_path(md5))
    elif odb.exists(md5):
        odb.delete(md5)


def is_there(odb: Any, md5: str) -> bool:
    """Whether a store holds an object, or a bucket any version of it."""
    if not is_bucket(odb.fs):
        return bool(odb.exists(md5))
    path = odb.oid_to_path(md5)
    return any(version.path == path and not version.is_marker for version in versions(odb.fs, path))


def sweep(odb: Any) -> None:
    """Remove unfinished copies that a killed DVC left: nobody can tell whose bytes they hold."""
    for path in files(odb.fs, odb.path):
        if path.endswith(".tmp"):
            remove(odb.fs, path)
    if is_bucket(odb.fs):
        abort_uploads(odb.fs, odb.path + "/")


def remove(fs: Any, path: str) -> None:
    """Remove one file of a store, with all that a bucket keeps of it."""
    if is_bucket(fs):
        delete_versions(fs, path)
    else:
        fs.remove(path)


def files(fs: Any, folder: str) -> list[str]:
    """Every file below a folder; none where there is no such folder."""
    return list(fs.find(folder)) if fs.exists(folder) else []


def content_md5(odb: Any, path: str) -> str:
    """The MD5 of an object's bytes as they are."""
    digest = sift_bytes.md5()
    with odb.fs.open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def reader(odbs: Collection[Any]) -> Callable[[str], frozenset[str]]:
    """Return a function from a listing's MD5 to the MD5s that it names; each is read once."""

    @cache
    def listed(md5: str) -> frozenset[str]:
        for odb in odbs:
            path = odb.oid_to_path(md5)
            if not odb.fs.exists(path):
                continue
            with odb.fs.open(path, "rb") as file:
                raw = file.read()
            try:
                return frozenset(entry["md5"] for entry in json.loads(raw))
            except (ValueError, TypeError, KeyError) as error:
                raise DvcError(
                    f"The directory listing {path} is damaged, so what it names is not known.",
                    remedy="delete that file (DVC cannot use it either), then run this again.",
                ) from error
        raise DvcError(
            f"The directory listing {md5} is neither in the cache nor in the remote.",
            remedy="record the workspace again (`sift build`), or restore it with `dvc pull`.",
        )

    return listed


def checked(md5: str) -> str:
    """The MD5 of an object. Raises DvcError for what is none."""
    if not MD5.fullmatch(md5):
        raise DvcError(
            f"{md5!r} is not the MD5 of a DVC object.",
            remedy="give 32 hexadecimal digits, with `.dir` after them for a folder.",
        )
    return md5


def _md5_of(odb: Any, path: str) -> str | None:
    md5 = "".join(odb.fs.parts(path)[-2:])
    return md5 if MD5.fullmatch(md5) else None
