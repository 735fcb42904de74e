"""A staging area in a folder that others write to: whatever they plant there, a read ends.

A shared folder can hold what a bucket cannot: links that lead elsewhere, pipes that never answer,
devices. So each step of a path is opened from the one before and follows no link, a file is opened
without waiting and must be a regular one with no second name, and what is destroyed is unlinked,
never followed. The folder of the remote itself is the operator's, who may link it as they like.
"""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import IO

from flows.errors import UnreachedError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PATIENCE = 10
"""How often a folder is emptied that somebody goes on filling."""


class StagingError(UnreachedError):
    """The staging area cannot be reached, or does not give back what was put there."""


class PlantedError(StagingError):
    """What lies in the area is no regular file or folder of its own, or too much: somebody's trap.

    Its text repeats no name that was found there.
    """


class SharedFolder:
    """The area below `root`; paths are given in parts, each checked to be a plain name."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, parts: Sequence[str], content: bytes | Path) -> None:
        """Write a file under another name and rename it: a reader sees all of it or nothing."""
        with self._folder(parts[:-1], make=True) as folder:
            draft = f".{secrets.token_hex(8)}.new"
            try:
                with (
                    os.fdopen(os.open(draft, _WRITE, 0o666, dir_fd=folder), "wb") as file,
                    content.open("rb") if isinstance(content, Path) else BytesIO(content) as own,
                ):
                    shutil.copyfileobj(own, file)
                if _is_folder(parts[-1], folder):
                    self._remove(parts[-1], folder)
                os.replace(draft, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                _unlink(draft, folder)
                raise

    def open(self, parts: Sequence[str]) -> IO[bytes]:
        """A file, open for reading. Raises FileNotFoundError, PlantedError."""
        with self._folder(parts[:-1]) as folder:
            # Before it is opened, since opening a device may do something; and what was opened.
            _require_regular(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
            with _unfollowed():
                found = os.open(parts[-1], _READ, dir_fd=folder)
        try:
            _require_regular(os.fstat(found))
        except BaseException:
            os.close(found)
            raise
        return os.fdopen(found, "rb")

    def list(self, parts: Sequence[str], most: int | None = None) -> dict[str, int]:
        """All that is below a folder, and is no folder with something in it: path → size in bytes.

        What is no file has size 0. Raises PlantedError where there is more than `most`.
        """
        found: dict[str, int] = {}
        waiting = ["/".join(parts)]
        while waiting:
            at = waiting.pop()
            try:
                with self._folder(at.split("/") if at else ()) as folder:
                    entries = [(entry.name, _size(entry)) for entry in os.scandir(folder)]
            except FileNotFoundError:  # taken away meanwhile, or never there
                continue
            for name, size in entries:
                path = f"{at}/{name}" if at else name
                if size is None:
                    waiting.append(path)
                else:
                    found[path] = size
            if not entries and at != "/".join(parts):
                found[at] = 0
            if most is not None and len(found) + len(waiting) > most:
                raise PlantedError(
                    f"The staging area holds more than {most} objects where none should be.",
                    remedy="see who writes to it; the build destroys them and hands out again.",
                )
        return dict(sorted(found.items()))

    def names(self) -> set[str]:
        """What lies in the area itself: folders, and whatever else."""
        try:
            with self._folder(()) as folder:
                return {entry.name for entry in os.scandir(folder)}
        except FileNotFoundError:
            return set()

    def holds(self, parts: Sequence[str]) -> bool:
        """Whether anything has this name; nothing has one below a link."""
        self._require_own()
        try:
            with self._folder(parts[:-1]) as folder:
                os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, PlantedError):
            return False
        return True

    def destroy(self, parts: Sequence[str]) -> None:
        """Take away whatever has this name, with all below it; nothing where there is none."""
        self._require_own()
        with suppress(FileNotFoundError):
            try:
                folder = self._opened(parts[:-1])
            except (
                PlantedError
            ):  # what is below a link is not in the area; the link goes by its name
                return
            try:
                self._remove(parts[-1], folder)
            finally:
                os.close(folder)

    def _require_own(self) -> None:
        """Raise PlantedError where the area itself is a link, or no folder."""
        with suppress(FileNotFoundError):
            os.close(self._opened(()))

    def _remove(self, name: str, folder: int) -> None:
        """Unlink a name; a folder is moved up to the area, so that depth costs nothing."""
        if _unlink(name, folder):
            return
        with self._folder(()) as area:
            waiting = [_moved_up(name, folder, area)]
            while waiting:
                doomed = waiting[-1]
                for _ in range(_PATIENCE):
                    with self._folder((doomed,)) as here:
                        for entry in list(os.scandir(here)):
                            if not _unlink(entry.name, here):
                                waiting.insert(0, _moved_up(entry.name, here, area))
                    try:
                        os.rmdir(doomed, dir_fd=area)
                        break
                    except OSError as error:
                        if error.errno != errno.ENOTEMPTY:
                            raise
                else:
                    raise PlantedError(
                        "Somebody fills a folder of the staging area faster than it is emptied.",
                        remedy="stop the workers that write to it, then run this again.",
                    )
                waiting.remove(doomed)

    @contextmanager
    def _folder(self, parts: Sequence[str], *, make: bool = False) -> Iterator[int]:
        folder = self._opened(parts, make=make)
        try:
            yield folder
        finally:
            os.close(folder)

    def _opened(self, parts: Sequence[str], *, make: bool = False) -> int:
        """A folder of the area, open. Raises FileNotFoundError, PlantedError."""
        if make:
            self._root.parent.mkdir(parents=True, exist_ok=True)
        here = os.open(self._root.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for name in (self._root.name, *parts):
            try:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=here)
                with _unfollowed():
                    below = os.open(name, _FOLDER, dir_fd=here)
            finally:
                os.close(here)
            here = below
        return here


def _require_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise _planted()


@contextmanager
def _unfollowed() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            raise _planted() from error
        raise


def _planted() -> PlantedError:
    return PlantedError(
        "The staging area has a link, a pipe or the like where a file or folder should be.",
        remedy="see who writes to it; nothing of it was followed.",
    )


def _size(entry: os.DirEntry[str]) -> int | None:
    """Its size in bytes, 0 of what is no file, None of a folder."""
    if entry.is_dir(follow_symlinks=False):
        return None
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def _is_folder(name: str, folder: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _unlink(name: str, folder: int) -> bool:
    """Unlink what is no folder; whether it is gone."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except (IsADirectoryError, PermissionError):
        if not _is_folder(name, folder):
            raise
        return False
    return True


def _moved_up(name: str, folder: int, area: int) -> str:
    """Give a folder a name in the area itself; that name."""
    doomed = f".gone-{secrets.token_hex(8)}"
    os.rename(name, doomed, src_dir_fd=folder, dst_dir_fd=area)
    return doomed
