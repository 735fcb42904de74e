"""What the servers that we start have in common: where they listen, and that they ask for a key."""

import argparse
import os
import sys
from typing import Any

import uvicorn


def parser(program: str, description: str | None, port: int) -> argparse.ArgumentParser:
    """What every server's command line takes."""
    known = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    known.add_argument("--host", default="127.0.0.1", help="the interface to listen on")
    known.add_argument("--port", type=int, default=port)
    known.add_argument(
        "--own", action="append", default=[], metavar="HOST:PORT", help="an address it answers at"
    )
    return known


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
    server = uvicorn.Server(uvicorn.Config(application, host=said.host, port=said.port, **more))
    server.run()
    return 0 if server.started else 3
