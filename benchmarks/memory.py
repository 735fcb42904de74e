"""The peak of this process's memory during one piece of work, by Linux's own account.

Resident counts pages of mapped files too, which the system takes back when it needs them; anonymous
is what only this process can give back.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_EVERY = 0.02
"""Seconds between two looks at the anonymous pages, which have no high-water mark of their own."""


@dataclass(frozen=True)
class Peak:
    """The most that one step had at a time, in bytes, and how long it took."""

    stage: str
    step: str
    resident: int
    anonymous: int
    seconds: float


def watched(stage: str, step: str, work: Callable[[], object]) -> Peak:
    """Do the work; its peak."""
    _CLEAR.write_text("5")  # the high-water mark begins anew
    anonymous, done = [_bytes("RssAnon")], threading.Event()

    def look() -> None:
        while not done.wait(_EVERY):
            anonymous.append(_bytes("RssAnon"))

    looking = threading.Thread(target=look)
    started = time.monotonic()
    looking.start()
    try:
        work()
    finally:
        done.set()
        looking.join()
    seconds = time.monotonic() - started
    return Peak(stage, step, _bytes("VmHWM"), max(anonymous), round(seconds, 1))


def _bytes(name: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"This system does not tell {name}.")
