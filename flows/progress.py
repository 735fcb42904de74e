"""Progress of long work, shown by whoever is watching.

Work says how far it is; a terminal, a Prefect artifact or nobody at all listens.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Listener(Protocol):
    """Hears how many of `total` items of one kind of work are done."""

    def __call__(self, what: str, done: int, total: int, /) -> None:
        """Called before the first item and after each."""


_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Let `listener` hear all progress within."""
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)


def tracked(what: str, items: Iterable[Item], total: int) -> Iterator[Item]:
    """Iterate, telling listeners after each item that it is done."""
    tell(what, 0, total)
    for done, item in enumerate(items, start=1):
        yield item
        tell(what, done, total)


def tell(what: str, done: int, total: int) -> None:
    """Tell all listeners."""
    for listener in _listeners.get():
        listener(what, done, total)


def paced(listener: Listener, seconds: float) -> Listener:
    """A listener to whom it costs something to hear: at most once in `seconds`, and of the end."""
    heard = float("-inf")

    def hear(what: str, done: int, total: int) -> None:
        nonlocal heard
        now = time.monotonic()
        if done == total or now - heard >= seconds:
            heard = now
            listener(what, done, total)

    return hear
