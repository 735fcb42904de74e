"""What goes wrong with DVC, in our own words."""

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from configobj import ConfigObjError  # type: ignore[import-untyped]
from dvc.exceptions import DvcException
from dvc.lock import LockError

from flows.errors import UnreachedError

# Of the clients of remote stores; loaded by DVC where a remote needs them, and only then.
_CLIENTS = (
    ("botocore.exceptions", ("BotoCoreError", "ClientError")),
    ("aiohttp.client_exceptions", ("ClientError",)),
)


class DvcError(UnreachedError):
    """DVC could not do what was asked; its own words are in the message."""


class DvcBusyError(DvcError):
    """Another process holds the lock of this DVC repository."""


class LiveObjectError(DvcError):
    """What should be destroyed is still needed by a current entry. Nothing was destroyed."""


@contextmanager
def translated(root: Path, doing: str) -> Iterator[None]:
    """Speak of failures of DVC, of the system, and of the clients of remote stores as DvcError."""
    try:
        yield
    except LockError as error:
        raise DvcBusyError(
            f"Another DVC command is at work in {root}.",
            remedy="let it finish, then run this again.",
        ) from error
    except (DvcException, ConfigObjError, UnicodeError, OSError) as error:
        raise DvcError(
            f"DVC could not {doing} in {root}: {' '.join(str(error).split())}",
            remedy="mend what the message names (a damaged dvc.lock or .dvc file comes back with "
            "`git checkout HEAD -- FILE`; a remote needs its credentials and to be reached), then "
            "run this again.",
        ) from error
    except client_errors() as error:
        raise DvcError(
            f"DVC could not {doing} in {root}: the remote store answered"
            f" {type(error).__name__}: {' '.join(str(error).split())}",
            remedy="check stores.remote and stores.remote_endpoint in params.yaml, the credentials "
            "and the network, then run this again.",
        ) from error


def client_errors() -> tuple[type[Exception], ...]:
    """What the clients of remote stores raise, of those that are loaded."""
    return tuple(
        getattr(sys.modules[module], name)
        for module, names in _CLIENTS
        if module in sys.modules
        for name in names
    )


def some(md5s: Collection[str], limit: int = 3) -> str:
    """The first of many digests, and how many more there are."""
    shown = ", ".join(sorted(md5s)[:limit])
    return shown if len(md5s) <= limit else f"{shown} and {len(md5s) - limit} more"
