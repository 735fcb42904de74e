"""The staging area: where work lies between us and workers, in the DVC remote.

    workers/base/<base id>/<file>             the base model, public; kept for the next build
    workers/<assignment>/assignment.json      what is to be done; while it is there, it is wanted
    workers/<assignment>/in/<SHA-256>         rows of its contributors
    workers/<assignment>/out/<SHA-256>        vectors and masks
    workers/<assignment>/out/<key>.json       one manifest per contributor

Beside DVC's own objects, never among them: a worker's credentials need to reach nothing but this
area. DVC's file systems carry it, so whatever can be a DVC remote will do; a folder is carried by
`staging_folder`, since it can hold traps. Everything of an assignment lies in its own folder, which
goes as a whole.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from dvc.exceptions import DvcException
from dvc.fs import get_cloud_fs
from pydantic import BaseModel, ConfigDict

from flows.errors import UsageError
from flows.integrations.dvc.buckets import delete_versions, is_bucket, versions
from flows.integrations.dvc.errors import client_errors
from flows.integrations.dvc.repository import Dvc
from flows.integrations.staging.folder import PlantedError, SharedFolder, StagingError

__all__ = ["AREA", "BASES", "PlantedError", "RemoteAddress", "Staging", "StagingError"]

AREA = "workers"
BASES = "base"
_SHARED_OPTIONS = ("endpointurl", "region", "use_ssl")
"""What workers are told of a remote beside its url. Credentials are each worker's own."""
_BLOCK_BYTES = 1 << 20

for _name in ("dvc", "dvc_objects"):
    logging.getLogger(_name).setLevel(logging.ERROR)


class TooLargeError(StagingError):
    """An object is larger than it may be."""


class RemoteAddress(BaseModel):
    """Where the remote is, without any credential: safe to hand out and to log."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    options: dict[str, str | bool] = {}

    @classmethod
    def of(cls, dvc: Dvc) -> "RemoteAddress":
        """The address of a workspace's remote. Raises UsageError where its url holds a password."""
        config = dvc.remote.config()
        url = str(config["url"])
        if urlsplit(url).password:
            raise UsageError(
                "The url of the DVC remote holds a password, which would reach Prefect's store.",
                remedy="take it out of .dvc/config; give it by the environment of each machine.",
            )
        return cls(url=url, options={k: v for k, v in config.items() if k in _SHARED_OPTIONS})


class _Store(Protocol):
    """What carries the area; `parts` are the plain names of a path."""

    def put(self, parts: Sequence[str], content: bytes | Path) -> None: ...
    def open(self, parts: Sequence[str]) -> IO[bytes]: ...
    def list(self, parts: Sequence[str], most: int | None = None) -> dict[str, int]: ...
    def names(self) -> set[str]: ...
    def holds(self, parts: Sequence[str]) -> bool: ...
    def destroy(self, parts: Sequence[str]) -> None: ...


class Staging:
    """The staging area of one remote. Paths are relative to it and use `/`."""

    def __init__(self, remote: RemoteAddress) -> None:
        self._remote = remote
        with self._translated("open"):
            kind, config, path = get_cloud_fs({}, url=remote.url, **remote.options)
            self._store: _Store
            if kind.protocol == "local":
                self._store = SharedFolder(Path(path) / AREA)
            else:
                files = kind(**config)
                self._store = _RemoteStore(files, files.join(path, AREA))

    def put(self, path: str, content: bytes | Path) -> None:
        """Write an object; a reader sees all of it or nothing. Raises StagingError."""
        parts = _parts(path)
        with self._translated(f"write {path}"):
            self._store.put(parts, content)

    def fetch(self, path: str, target: Path, most: int) -> int:
        """Copy an object of at most `most` bytes to a local file; its size.

        Raises FileNotFoundError, TooLargeError, PlantedError, StagingError.
        """
        size = 0
        with self._reading(path) as remote, target.open("wb") as file:
            while block := remote.read(_BLOCK_BYTES):
                size += len(block)
                if size > most:
                    raise _too_large(path, most)
                file.write(block)
        return size

    def read(self, path: str, most: int) -> bytes:
        """An object of at most `most` bytes. Raises as `fetch`."""
        data = self.read_up_to(path, most + 1)
        if len(data) > most:
            raise _too_large(path, most)
        return data

    def read_up_to(self, path: str, most: int) -> bytes:
        """The first bytes of an object, at most so many. Raises as `fetch`."""
        with self._reading(path) as remote:
            return bytes(remote.read(most))

    def list(self, folder: str = "", most: int | None = None) -> dict[str, int]:
        """Every object below a folder: path → size in bytes.

        Raises PlantedError where there are more than `most`, StagingError.
        """
        with self._translated(f"list {folder or 'it'}"):
            return self._store.list(_parts(folder) if folder else (), most)

    def names(self) -> set[str]:
        """The first part of every path there is. Raises StagingError."""
        with self._translated("list it"):
            return self._store.names()

    def holds(self, path: str) -> bool:
        """Whether anything has this path now. Raises StagingError."""
        with self._translated(f"look for {path}"):
            return self._store.holds(_parts(path))

    def remains(self) -> dict[str, int]:
        """As `list`, and what a bucket that keeps versions still has of what was deleted."""
        if not isinstance(self._store, _RemoteStore):
            return self.list()
        with self._translated("list versions in it"):
            return self._store.remains()

    def destroy(self, path: str) -> None:
        """Delete an object or a folder with all below it; nothing where it is gone already.

        In a bucket that keeps versions, every version of each.
        """
        with self._translated(f"delete {path[:80]!r}"):
            self._store.destroy(_parts(path))

    @contextmanager
    def _reading(self, path: str) -> Iterator[IO[bytes]]:
        """An object, open. That it is missing is an answer, and no failure of the area."""
        with (
            self._translated(f"read {path}", asked=FileNotFoundError),
            self._store.open(_parts(path)) as remote,
        ):
            yield remote

    @contextmanager
    def _translated(self, doing: str, asked: type[OSError] | None = None) -> Iterator[None]:
        try:
            yield
        except (DvcException, OSError, *client_errors()) as error:
            if asked and isinstance(error, asked):
                raise
            raise StagingError(
                f"The staging area at {self._remote.url} does not let us {doing}: "
                f"{' '.join(str(error).split())}.",
                remedy="look at the remote and at this machine's credentials for it.",
            ) from error


class _RemoteStore:
    """The area in a bucket or another store of objects, by DVC's file system for it."""

    def __init__(self, files: Any, root: str) -> None:
        self._fs = files
        self._root = root

    def put(self, parts: Sequence[str], content: bytes | Path) -> None:
        target = self._path(parts)
        self._fs.makedirs(self._fs.parent(target), exist_ok=True)
        if isinstance(content, Path):
            self._fs.put_file(str(content), target)
        else:
            self._fs.put_file(BytesIO(content), target, size=len(content))

    def open(self, parts: Sequence[str]) -> IO[bytes]:
        self._fs.fs.invalidate_cache()
        remote: IO[bytes] = self._fs.open(self._path(parts), "rb")
        return remote

    def list(self, parts: Sequence[str], most: int | None = None) -> dict[str, int]:
        self._fs.fs.invalidate_cache()  # what others wrote meanwhile counts
        start = self._path(parts)
        if not self._fs.exists(start):
            return {}
        found = sorted(self._fs.find(start))
        if most is not None and len(found) > most:
            raise PlantedError(
                f"The staging area holds more than {most} objects where none should be.",
                remedy="see who writes to it; the build destroys them and hands out again.",
            )
        return {self._below(path): int(self._fs.size(path)) for path in found}

    def names(self) -> set[str]:
        return {path.partition("/")[0] for path in self.list(())}

    def holds(self, parts: Sequence[str]) -> bool:
        self._fs.fs.invalidate_cache()
        return bool(self._fs.exists(self._path(parts)))

    def remains(self) -> dict[str, int]:
        """What is there, and what a bucket that keeps versions has of what was deleted."""
        if not is_bucket(self._fs):
            return self.list(())
        found = versions(self._fs, f"{self._root}/")
        return {self._below(row.path): row.bytes for row in found}

    def destroy(self, parts: Sequence[str]) -> None:
        target = self._path(parts)
        self._fs.fs.invalidate_cache()
        if is_bucket(self._fs):
            found = {row.path for row in versions(self._fs, target)}
            for own in sorted(found):
                if own == target or own.startswith(f"{target}/"):
                    delete_versions(self._fs, own)
        elif self._fs.exists(target):
            self._fs.rm(target, recursive=True)

    def _path(self, parts: Sequence[str]) -> str:
        return str(self._fs.join(self._root, *parts))

    def _below(self, path: str) -> str:
        return "/".join(self._fs.relparts(path, self._root))


def _parts(path: str) -> tuple[str, ...]:
    """The plain names of a path. Raises StagingError."""
    parts = tuple(path.split("/"))
    if not all(parts) or {".", ".."} & set(parts) or "\x00" in path:
        raise StagingError(f"{path!r} is no path of the area.", remedy="this is a defect.")
    return parts


def _too_large(path: str, most: int) -> TooLargeError:
    return TooLargeError(f"{path} has more than {most} bytes.", remedy="see who wrote it.")
