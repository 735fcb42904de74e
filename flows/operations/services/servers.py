"""One server of `sift up`: a process that ends with whoever started it.

It reads from a pipe that nobody writes to, and ends when that is closed: so it is gone with the
command also where that is killed. A session of its own keeps a terminal's Ctrl-C for the command.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from flows.errors import FlowError, UsageError

HOST = "127.0.0.1"
START_SECONDS = 300.0
"""On a busy machine Prefect takes minutes to make its database."""
END_SECONDS = 30.0
_POLL_SECONDS = 0.3
_LAST_LINES = 3


class ServiceError(FlowError):
    """A service did not start, died, or does not answer."""


@dataclass(frozen=True)
class Server:
    """A server that was started here: what it is called, where it answers, where it writes."""

    name: str
    url: str
    health: str
    """The path that answers once it is up."""
    log: Path
    process: subprocess.Popen[bytes]

    def require_alive(self) -> None:
        """Raise ServiceError, with its last words, where it has ended."""
        if self.process.poll() is not None:
            raise ServiceError(
                f"{self.name} has ended: {_last_words(self.log)}",
                remedy=f"{self.log} says more; correct it, then run `sift up` again.",
            )

    def wait_until_it_answers(self, seconds: float = START_SECONDS) -> None:
        """Raises ServiceError where it ends before, or never does."""
        until = time.monotonic() + seconds
        while not ok(f"{self.url}{self.health}"):
            self.require_alive()
            if time.monotonic() > until:
                raise ServiceError(
                    f"{self.name} did not answer within {seconds:.0f} seconds.",
                    remedy=f"see {self.log}; on a busy machine, run `sift up` again.",
                )
            time.sleep(_POLL_SECONDS)

    def end(self) -> None:
        """Close its pipe and wait for its end; what does not listen is killed."""
        try:
            self.process.communicate(timeout=END_SECONDS)  # closes it first
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def serving(
    name: str,
    url: str,
    health: str,
    module: Sequence[str],
    *,
    folder: Path,
    log: Path,
    variables: Mapping[str, str],
) -> Iterator[Server]:
    """Run `python -m module…` in `folder` while the block runs, its output added to `log`.

    The log is readable by its owner alone. The module is one that knows `--while-parent`
    (flows/integrations/servers/listening.py).
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch(mode=0o600)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  our own interpreter and fixed arguments
            [sys.executable, "-m", *module, "--while-parent"],
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(name, url, health, log, process)
    try:
        yield server
    finally:
        server.end()


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


def ok(address: str) -> bool:
    """Whether something answers at an address with success."""
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(address, timeout=10).is_success
    return False


def inherited() -> dict[str, str]:
    """The environment that servers get: ours, without what points Prefect anywhere."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
    }


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()][-_LAST_LINES:]
    return " / ".join(said) or "without a word"
