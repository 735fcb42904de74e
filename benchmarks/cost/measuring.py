"""Seconds, CPU seconds, peak memory and bytes of one function, in a process of its own.

Linux only: peak memory can be reset there, so that what a function needs is told apart from what
Python and torch took before it.
"""

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_SELF = Path("/proc/self")
_RESET_PEAK = "5"


@dataclass(frozen=True)
class Usage:
    """What one call took. `peak` is memory beyond what was held before it; all sizes in bytes."""

    seconds: float
    cpu: float
    """User and system seconds of all threads."""
    peak: int
    read: int
    written: int

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return self.read + self.written

    def as_detail(self) -> dict[str, float]:
        """For the `detail` of a figure: seconds and MB."""
        return {
            "seconds": round(self.seconds, 3),
            "cpu_seconds": round(self.cpu, 3),
            "peak_rss_mb": megabytes(self.peak),
            "read_mb": megabytes(self.read),
            "written_mb": megabytes(self.written),
        }


def require_linux() -> None:
    """Exit where /proc is not there to tell peak memory and bytes."""
    if not (_SELF / "clear_refs").exists():
        sys.exit("The cost benchmark measures memory through /proc: run it on Linux.")


def measured(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> tuple[R, Usage]:
    """Call a function in this process; what it returned and what it took."""
    (_SELF / "clear_refs").write_text(_RESET_PEAK)
    held, moved = _status("VmRSS"), _moved()
    cpu, started = _cpu(), time.perf_counter()
    result = function(*args, **kwargs)
    seconds, cpu = time.perf_counter() - started, _cpu() - cpu
    read, written = (now - before for now, before in zip(_moved(), moved, strict=True))
    peak = max(resource.getpagesize(), _status("VmHWM") - held)  # never 0: ratios are taken
    return result, Usage(seconds, cpu, peak, read, written)


def in_new_process(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function where nothing was loaded or cached before; what it returned."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def median(usages: Iterable[Usage], of: str = "seconds") -> float:
    """The median of one field."""
    return float(statistics.median(getattr(usage, of) for usage in usages))


def typical(usages: Iterable[Usage]) -> Usage:
    """The usage whose seconds are the median: all its fields belong together."""
    ordered = sorted(usages, key=lambda usage: usage.seconds)
    return ordered[len(ordered) // 2]


def forget(paths: Iterable[Path]) -> None:
    """Drop files from the page cache, so that reading them next reads the disk."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)  # a page that is not yet written cannot be dropped
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def megabytes(size: float) -> float:
    """Bytes in MB of 10^6, to a tenth."""
    return round(size / 1e6, 1)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _status(field: str) -> int:
    """A size in bytes from /proc/self/status, which gives kB of 1024."""
    return 1024 * int(_fields(_SELF / "status")[field].split()[0])


def _moved() -> tuple[int, int]:
    """Bytes that this process has asked to read and to write, from the page cache or not."""
    fields = _fields(_SELF / "io")
    return int(fields["rchar"]), int(fields["wchar"])


def _fields(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines()
    return {name: value for name, _, value in (line.partition(":") for line in lines)}
