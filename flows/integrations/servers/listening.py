"""What the servers that we start have in common: where they listen, and that they ask for a key."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import uvicorn

_LET_GO_SECONDS = 5.0


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


def _end_with_parent() -> None:
    """End this process when the pipe from whoever started it is closed, however that one ended."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(2 * _LET_GO_SECONDS)
    os._exit(1)  # it hangs, and nobody is there any more to kill it
