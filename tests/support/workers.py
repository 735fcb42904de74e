"""Machines of a work pool on this one: each a real Prefect worker in a folder of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.paths import ROOT
from tests.support.servers import SERVER_KEY
from tests.support.services import caller

POOL = "workers"
_SECONDS = 600.0


@dataclass(frozen=True)
class Machine:
    """A worker process with its own home, temporary folder and cache of base models."""

    folder: Path
    process: subprocess.Popen[bytes]

    def is_training(self, api: str) -> bool:
        """Whether Prefect says of a process of this machine that it runs an assignment now."""
        try:
            own = {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}
        except psutil.NoSuchProcess:
            return False
        wanted = {"sort": "ID_DESC", "flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
        client = caller(api.removesuffix("/api"), SERVER_KEY)
        runs = client.post("/flow_runs/filter", json=wanted).raise_for_status().json()
        return bool(own & {int(run["infrastructure_pid"] or 0) for run in runs})

    def kill(self) -> None:
        """SIGKILL to the worker and all it runs at once, as when the power fails."""
        worker = psutil.Process(self.process.pid)
        for process in [worker, *worker.children(recursive=True)]:
            process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.kill()

    def files(self) -> dict[str, bytes]:
        """Everything on its disk."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file()
        }


@contextmanager
def machines(
    folder: Path, variables: Mapping[str, str], names: Sequence[str]
) -> Iterator[list[Machine]]:
    """Workers of the pool, one assignment at a time each."""
    started: list[Machine] = []
    try:
        started.extend(_machine(folder / name, variables, name) for name in names)
        yield started
    finally:
        for machine in started:
            machine.stop()


def _machine(home: Path, variables: Mapping[str, str], name: str) -> Machine:
    temporary = home / "tmp"
    temporary.mkdir(parents=True)
    own = {
        "SIFT_WORKER_HOME": str(home / "worker"),
        "PREFECT_HOME": str(home / "prefect"),
        "HOME": str(home),
        "TMPDIR": str(temporary),
        # How soon a worker sees new runs; 15 seconds elsewhere.
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }
    program = "import sys; from flows.cli import main; main()"
    command = [sys.executable, "-c", program, "workers", "start", POOL, "--name", name]
    with (home / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=home,
            env={**surroundings(variables), **own},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Machine(home, process)


def surroundings(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command in another process: this code, and these variables."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables}


def command(*arguments: str, variables: Mapping[str, str]) -> subprocess.Popen[str]:
    """`sift …` in another process."""
    program = "import sys; from flows.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=surroundings(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(*arguments: str, variables: Mapping[str, str]) -> str:
    """What `sift …` prints; it must end well."""
    with command(*arguments, variables=variables) as process:
        printed, _ = process.communicate(timeout=_SECONDS)
    assert process.returncode == 0, printed
    return printed


def make_pool(variables: Mapping[str, str]) -> None:
    """The work pool, and our deployment on it."""
    assert "finetune-shard/workers" in run("workers", "register", POOL, variables=variables)


def until(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for something while a process runs; the test fails where the process ends before."""
    deadline = time.monotonic() + _SECONDS
    while not happened():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.2)
