"""One command of `sift` in a process of its own, as a user types it: what it took, step by step."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cost.measuring import megabytes
from flows.logging import FILE

ROOT = Path(__file__).parents[2]
_SIFT = "from flows.cli import main; main()"
_LAUNCHER = """
import json, os, sys, time
started = time.perf_counter()
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, usage = os.wait4(process, 0)
seconds, cpu = time.perf_counter() - started, usage.ru_utime + usage.ru_stime
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, cpu, usage.ru_maxrss * 1024]))
"""
"""A process begins with the peak of whoever started it: a small one starts what is measured."""
_ENDED = " ended"


@dataclass(frozen=True)
class Taken:
    """What one command took. `steps` are the seconds of each piece of work, by the log's name."""

    seconds: float
    cpu: float
    """User and system seconds of the process and of all that it started."""
    peak: int
    """Bytes."""
    steps: Mapping[str, float]

    def as_detail(self) -> dict[str, object]:
        """For the `detail` of a figure."""
        return {
            "seconds": round(self.seconds, 2),
            "cpu_seconds": round(self.cpu, 2),
            "peak_rss_mb": megabytes(self.peak),
            "steps": dict(self.steps),
        }


def sift(workspace: Path, *arguments: str) -> Taken:
    """Run a command in a workspace. Raises CalledProcessError where it fails."""
    log = workspace / FILE
    before = log.stat().st_size if log.exists() else 0
    taken = python(_SIFT, *arguments, cwd=workspace)
    with log.open("rb") as file:
        file.seek(before)
        events = [json.loads(line) for line in file]
    steps = {
        event["event"].removesuffix(_ENDED): event["seconds"]
        for event in events
        if event["event"].endswith(_ENDED) and not event["event"].startswith("command")
    }
    return Taken(taken.seconds, taken.cpu, taken.peak, steps)


def python(code: str, *arguments: str, cwd: Path) -> Taken:
    """Run Python code in a process of its own. Raises CalledProcessError where it fails."""
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # A real installation has them compiled; else every run would compile us anew.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    launched = subprocess.run(  # noqa: S603  our own
        [sys.executable, "-S", "-c", _LAUNCHER, *command],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    failed, seconds, cpu, peak = json.loads(launched.stdout)
    if failed:
        raise subprocess.CalledProcessError(failed, command)
    return Taken(seconds, cpu, peak, {})
