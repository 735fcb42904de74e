"""One process at a time: what others that come meanwhile are told.

The operating system lets go of a lock when its process dies, so none is ever left over.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from flows.errors import FlowError

_WAIT = "wait for it to end, then run this command again."
_GLANCE_SECONDS = 2.0
"""For which a command that only looks whether somebody has the lock may itself have it."""


class WorkspaceBusyError(FlowError):
    """Another process is changing this workspace."""


@contextmanager
def only_one_changing(root: Path, patience: float = 0.0) -> Iterator[None]:
    """Be the only process that changes the workspace.

    Raises WorkspaceBusyError where another is, at once or after `patience` seconds.
    """
    with _only_one(root / ".sift" / "lock", f"Another process is changing {root}.", patience):
        yield


@contextmanager
def only_one_serving(root: Path) -> Iterator[None]:
    """Be the only `sift up` of the workspace. Raises WorkspaceBusyError where one runs."""
    path, busy = _serving(root), f"`sift up` runs already for {root}."
    with _only_one(path, busy, _GLANCE_SECONDS, "use it (`sift status` says where), or end it."):
        yield


def is_serving(root: Path) -> bool:
    """Whether `sift up` runs for the workspace."""
    try:
        lock = _serving(root).open("rb")
    except FileNotFoundError:
        return False
    with lock:
        try:
            # Shared: those who look at the same time do not see each other.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _serving(root: Path) -> Path:
    return root / ".sift" / "services.lock"


@contextmanager
def _only_one(path: Path, busy: str, patience: float, remedy: str = _WAIT) -> Iterator[None]:
    lock = FileLock(path, timeout=patience)
    try:
        lock.acquire()
    except Timeout as error:
        raise WorkspaceBusyError(busy, remedy=remedy) from error
    try:
        yield
    finally:
        lock.release()
