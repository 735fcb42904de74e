"""Signs of life of long work, on standard error: bars for eyes, lines for a log.

A terminal gets one bar for each kind of work. Anything else gets a line when a kind of work begins,
when it ends, and every ten seconds meanwhile; none of a command that is done at once.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from flows.cli.render import err
from flows.progress import listening

AT_ONCE = 2.0
"""Seconds of work of which nothing is said."""
SECONDS = 10.0
"""The longest silence after that."""


@contextmanager
def progress(*, quiet: bool) -> Iterator[None]:
    """Show how far the work within is; `quiet`: not at all."""
    if quiet:
        yield
        return
    with _bars() if err.is_terminal else _lines():
        yield


@contextmanager
def _bars() -> Iterator[None]:
    bars = Progress(
        TextColumn("{task.description:<20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
    )
    tasks: dict[tuple[str, int], Any] = {}

    with ExitStack() as shown:

        def show(what: str, done: int, total: int) -> None:
            if not total:
                return
            if not tasks:
                shown.enter_context(bars)
            if (what, total) not in tasks:
                tasks[what, total] = bars.add_task(what, total=total)
            bars.update(tasks[what, total], completed=done)

        with listening(show):
            yield


@contextmanager
def _lines() -> Iterator[None]:
    lines = Lines(lambda line: err.print(line, markup=False))
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(lines.silence()):
            lines.beat()

    heart = threading.Thread(target=beat, daemon=True, name="signs of life")
    heart.start()
    try:
        with listening(lines.hear):
            yield
    finally:
        ended.set()
        heart.join()


class Lines:
    """Says how far work is: when a kind of it begins and ends, and when it was silent too long."""

    def __init__(
        self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._clock = write, clock
        self._lock = threading.Lock()
        self._work = ("Working", 0, 0)
        self._said = self._started = clock()
        self._begun = {("Working", 0): self._started}

    def hear(self, what: str, done: int, total: int) -> None:
        """A listener of progress."""
        with self._lock:
            if not total or (what, done, total) == self._work:
                return
            begins = (what, total) != (self._work[0], self._work[2])
            self._work = (what, done, total)
            if not done or (what, total) not in self._begun:
                self._begun[what, total] = self._clock()
            if (begins or done == total) and self._clock() - self._started >= AT_ONCE:
                self._say()

    def beat(self) -> None:
        """Say how far the work is, where nothing was said for long."""
        with self._lock:
            if self._clock() >= self._due():
                self._say()

    def silence(self) -> float:
        """For how many seconds nothing need be said."""
        with self._lock:
            return max(0.0, self._due() - self._clock())

    def _due(self) -> float:
        return self._said + (AT_ONCE if self._said == self._started else SECONDS)

    def _say(self) -> None:
        what, done, total = self._work
        self._said = self._clock()
        far = f" {done} of {total}" if total else ""
        self._write(f"{what}{far}, {self._said - self._begun[what, total]:.0f} s")
