"""One process of a service: started apart from the terminal, waited for, stopped with its own."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import psutil

from flows.errors import FlowError, UsageError
from flows.workspace.services import Service, ServiceName

HOST = "127.0.0.1"
START_SECONDS = 300.0
"""On a busy machine Prefect takes minutes to make its database."""
STOP_SECONDS = 30.0
_POLL_SECONDS = 0.3
_LAST_LINES = 3


class ServiceError(FlowError):
    """A service did not start, died, or does not answer."""


def free_port(wanted: int, what: str, option: str) -> int:
    """The wanted port, or any that is free for 0. Raises UsageError where it is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError as error:
            raise UsageError(
                f"Port {wanted} on {HOST}, for {what}, is in use.",
                remedy=f"end what uses it, or name another port with `{option}` (0: any free one).",
            ) from error
        return int(probe.getsockname()[1])


def start(
    name: ServiceName,
    module: Sequence[str],
    *,
    folder: Path,
    log: Path,
    variables: Mapping[str, str],
) -> Service:
    """Start `python -m module…` in a session of its own, so that Ctrl-C at a terminal is not its.

    Its output is added to `log`, readable by its owner alone.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch(mode=0o600)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  our own interpreter and fixed arguments
            [sys.executable, "-m", *module],
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = psutil.Process(process.pid).create_time()
    return Service(name=name, pid=process.pid, started=started, log=log)


def wait_for(service: Service, answers: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    """Wait until a service answers. Raises ServiceError where it dies or never does."""
    until = time.monotonic() + seconds
    while not answers():
        if service.process is None:
            raise ServiceError(
                f"{service.name} ended while it started: {_last_words(service.log)}",
                remedy=f"{service.log} says more; correct it, then run `sift up` again.",
            )
        if time.monotonic() > until:
            raise ServiceError(
                f"{service.name} did not answer within {seconds:.0f} seconds.",
                remedy=f"see {service.log}; on a busy machine, run `sift up` again.",
            )
        time.sleep(_POLL_SECONDS)


def ok(address: str) -> bool:
    """Whether something answers at an address with success."""
    try:
        return httpx.get(address, timeout=10).is_success
    except httpx.TransportError:
        return False


def stop(service: Service) -> bool:
    """End a service and every process that it started; whether it was running.

    It is asked first, and has time to say goodbye; what is left then is killed.
    """
    process = service.process
    if process is None:
        return False
    try:
        family = process.children(recursive=True)
        process.terminate()
    except psutil.NoSuchProcess:
        return False
    _, alive = psutil.wait_procs([process], timeout=STOP_SECONDS)
    left = [*alive, *family, *_of_session(service.pid)]
    for one in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(left, timeout=STOP_SECONDS)
    return True


def sweep(service: Service) -> None:
    """End what a service left behind that was killed and could not stop it itself.

    Only while nobody else has its number: then the session of that number can only be its own. It
    may have the number itself: a process that nobody waits for stays, dead, under some containers.
    """
    if service.process is not None or service.number_is_anothers:
        return
    for one in _of_session(service.pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


def _of_session(leader: int) -> Iterator[psutil.Process]:
    """What a service started just before it ended: its session outlives it, and so does the id."""
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(pid) == leader:
                yield psutil.Process(pid)


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()][-_LAST_LINES:]
    return " / ".join(said) or "without a word"
