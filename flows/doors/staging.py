"""The door to the staging area: where work lies between us and agents, in the DVC remote.

    agents/base/<base id>/<file>             the base model, public; kept for the next build
    agents/<assignment>/assignment.json      what is to be done; while it is there, it is wanted
    agents/<assignment>/in/<SHA-256>         rows of its contributors
    agents/<assignment>/out/<SHA-256>        vectors and masks
    agents/<assignment>/out/<key>.json       one manifest per contributor

Beside DVC's own objects, never among them: an agent's credentials need to reach nothing but this
area. DVC's file systems carry it, so whatever can be a DVC remote will do. Everything of an
assignment lies in its own folder, which goes as a whole.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from dvc.exceptions import DvcException
from dvc.fs import get_cloud_fs
from pydantic import BaseModel, ConfigDict

from flows.doors.dvc import Dvc
from flows.doors.dvc_buckets import delete_versions, is_bucket, versions
from flows.doors.dvc_errors import client_errors
from flows.errors import FlowError, UsageError

AREA = "agents"
BASES = "base"
_SHARED_OPTIONS = ("endpointurl", "region", "use_ssl")
"""What agents are told of a remote beside its url. Credentials are each agent's own."""
_BLOCK_BYTES = 1 << 20

for _name in ("dvc", "dvc_objects"):
    logging.getLogger(_name).setLevel(logging.ERROR)


class StagingError(FlowError):
    """The staging area cannot be reached, or does not give back what was put there."""


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
        config = dvc.remote_config()
        url = str(config["url"])
        if urlsplit(url).password:
            raise UsageError(
                "The url of the DVC remote holds a password, which would reach Prefect's store.",
                remedy="take it out of .dvc/config; give it by the environment of each machine.",
            )
        return cls(url=url, options={k: v for k, v in config.items() if k in _SHARED_OPTIONS})


class Staging:
    """The staging area of one remote. Paths are relative to it and use `/`."""

    def __init__(self, remote: RemoteAddress) -> None:
        self._remote = remote
        with self._translated("open"):
            kind, config, path = get_cloud_fs({}, url=remote.url, **remote.options)
            self._fs: Any = kind(**config)
            self._root: str = self._fs.join(path, AREA)

    def put(self, path: str, content: bytes | Path) -> None:
        """Write an object; a reader sees all of it or nothing. Raises StagingError."""
        target = self._path(path)
        with self._translated(f"write {path}"):
            self._fs.makedirs(self._fs.parent(target), exist_ok=True)
            if isinstance(content, Path):
                self._fs.put_file(str(content), target)
            else:
                self._fs.put_file(BytesIO(content), target, size=len(content))

    def fetch(self, path: str, target: Path, most: int) -> int:
        """Copy an object of at most `most` bytes to a local file; its size.

        Raises FileNotFoundError, TooLargeError, StagingError.
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
        """The first bytes of an object, at most so many. Raises FileNotFoundError, StagingError."""
        with self._reading(path) as remote:
            return bytes(remote.read(most))

    def list(self, folder: str = "") -> dict[str, int]:
        """Every object below a folder: path → size in bytes. Raises StagingError."""
        with self._translated(f"list {folder or 'it'}"):
            self._fs.fs.invalidate_cache()  # what others wrote meanwhile counts
            start = self._path(folder) if folder else self._root
            if not self._fs.exists(start):
                return {}
            found = sorted(self._fs.find(start))
            return {
                "/".join(self._fs.relparts(path, self._root)): int(self._fs.size(path))
                for path in found
            }

    def holds(self, path: str) -> bool:
        """Whether an object is there now. Raises StagingError."""
        with self._translated(f"look for {path}"):
            self._fs.fs.invalidate_cache()
            return bool(self._fs.exists(self._path(path)))

    def remains(self) -> dict[str, int]:
        """As `list`, and what a bucket that keeps versions still has of what was deleted."""
        if not is_bucket(self._fs):
            return self.list()
        with self._translated("list versions in it"):
            found = {row.path: row.bytes for row in versions(self._fs, f"{self._root}/")}
        return {"/".join(self._fs.relparts(path, self._root)): size for path, size in found.items()}

    def destroy(self, path: str) -> None:
        """Delete an object or a folder with all below it; nothing where it is gone already.

        In a bucket that keeps versions, every version of each.
        """
        target = self._path(path)
        with self._translated(f"delete {path}"):
            self._fs.fs.invalidate_cache()
            if is_bucket(self._fs):
                found = {row.path for row in versions(self._fs, target)}
                for own in sorted(found):
                    if own == target or own.startswith(f"{target}/"):
                        delete_versions(self._fs, own)
            elif self._fs.exists(target):
                self._fs.rm(target, recursive=True)

    def _path(self, path: str) -> str:
        parts = path.split("/")
        if not all(parts) or {".", ".."} & set(parts):
            raise StagingError(f"{path!r} is no path of the area.", remedy="this is a defect.")
        return str(self._fs.join(self._root, *parts))

    @contextmanager
    def _reading(self, path: str) -> Iterator[IO[bytes]]:
        """An object, open. That it is missing is an answer, and no failure of the area."""
        with self._translated(f"read {path}", asked=FileNotFoundError):
            self._fs.fs.invalidate_cache()
            with self._fs.open(self._path(path), "rb") as remote:
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


def _too_large(path: str, most: int) -> TooLargeError:
    return TooLargeError(f"{path} has more than {most} bytes.", remedy="see who wrote it.")
