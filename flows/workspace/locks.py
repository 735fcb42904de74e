"""One process at a time: what others that come meanwhile are told.

The operating system lets go of a lock when its process dies, so none is ever left over.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from flows.errors import FlowError


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
    """Be the only `sift up` or `sift down` of the workspace. Raises WorkspaceBusyError."""
    busy = f"Another `sift up` or `sift down` of {root} is at work."
    with _only_one(root / ".sift" / "services.lock", busy, 0.0):
        yield


@contextmanager
def _only_one(path: Path, busy: str, patience: float) -> Iterator[None]:
    lock = FileLock(path, timeout=patience)
    try:
        lock.acquire()
    except Timeout as error:
        raise WorkspaceBusyError(
            busy, remedy="wait for it to end, then run this command again."
        ) from error
    try:
        yield
    finally:
        lock.release()
