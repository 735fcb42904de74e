"""What the servers that we start have in common: where they listen, and that they ask for a key."""

import argparse
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn

import uvicorn

from flows.errors import UsageError

_LET_GO_SECONDS = 5.0
_ANSWER_SECONDS = 3.0
"""How long a request under way has once the process was told to end."""


def parser(program: str, description: str | None, port: int) -> argparse.ArgumentParser:
    """What every server's command line takes."""
    known = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    known.add_argument("--host", default="127.0.0.1", help="the interface to listen on")
    known.add_argument("--port", type=int, default=port)
    known.add_argument(
        "--own", action="append", default=[], metavar="HOST:PORT", help="an address it answers at"
    )
    known.add_argument(
        "--while-parent", action="store_true", help="end when standard input is closed"
    )
    return known


def parsed(known: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says; from now on the process ends with its parent, if that is said."""
    said = known.parse_args(arguments)
    if said.while_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    return said


def addresses(said: argparse.Namespace) -> list[str]:
    """Where browsers and clients reach it."""
    return said.own or [f"127.0.0.1:{said.port}"]


def has_key(variable: str) -> bool:
    """Whether the environment holds the key that the server is to ask for; says so where not."""
    if os.environ.get(variable):
        return True
    print(f"{variable} holds no key: without one, whoever reaches it may use it.", file=sys.stderr)
    return False


def listen(application: Any, said: argparse.Namespace, **more: Any) -> int:
    """Serve until the process is told to end; the exit code."""
    if said.while_parent:  # whoever holds a line open is not waited for
        more["timeout_graceful_shutdown"] = round(_LET_GO_SECONDS)
    server = uvicorn.Server(uvicorn.Config(application, host=said.host, port=said.port, **more))
    server.run()
    return 0 if server.started else 3


def bound(host: str, port: int, option: str) -> socket.socket:
    """A socket at an address, 0 for any free port. Raises UsageError where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    here = socket.socket(family)
    here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        here.bind((host, port))
        here.listen()
    except OSError as error:
        here.close()
        raise UsageError(
            f"{host}:{port} cannot be listened at: {error.strerror or error}.",
            remedy=f"end what uses it, or name another port with `{option}` (0: any free one).",
        ) from error
    return here


def answer_at(here: socket.socket, application: Any, ended: Callable[[], object]) -> NoReturn:
    """Serve at a socket until SIGTERM or SIGINT; what is being answered then has some seconds.

    The process ends here, once `ended` was called: what is at work in a thread cannot be told to
    stop, and taking torch and MLflow apart takes longer than whoever sent the signal waits.
    """
    server = _UntilTold(application, ended)
    server.run([here])
    server.leave()


class _UntilTold(uvicorn.Server):
    """A server that ends in time, and leaves the signal at that."""

    def __init__(self, application: Any, ended: Callable[[], object]) -> None:
        super().__init__(uvicorn.Config(application, log_level="error", access_log=False))
        self._ended = ended
        self._leaving = threading.Lock()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no more requests, and be gone in time, whoever is being answered."""
        self.should_exit = True
        patience = threading.Timer(_ANSWER_SECONDS, self.leave)
        patience.daemon = True
        patience.start()

    def leave(self) -> NoReturn:
        """Say that it has ended, once, and end the process."""
        self._leaving.acquire()
        self._ended()
        sys.stdout.flush()
        os._exit(0)


def _end_with_parent() -> None:
    """End this process when the pipe from whoever started it is closed, however that one ended."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(2 * _LET_GO_SECONDS)
    os._exit(1)  # it hangs, and nobody is there any more to kill it
