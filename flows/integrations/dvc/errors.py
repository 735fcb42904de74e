"""What goes wrong with DVC, told apart from DVC itself: whoever catches it need not import that."""

import sys
from collections.abc import Collection

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
