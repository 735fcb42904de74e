"""`sift serve`: the champion of a workspace answers over HTTP, and its successor as soon as it is.

It listens on the loopback interface unless told otherwise, asks for the workspace's key, and
answers at its own addresses alone.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flows.errors import FlowError
from flows.integrations.servers.guard import Guard
from flows.integrations.servers.listening import answer_at, bound
from flows.logging import event
from flows.serving.app import application
from flows.serving.champion import Champion
from flows.workspace.served_versions import taking
from flows.workspace.server_key import server_key
from flows.workspace.workspace import Workspace
from lineage import LineageError
from sift_core import SiftCoreError

_LOOK_SECONDS = 1.0
"""How often the alias is looked up where nobody asks."""


@dataclass(frozen=True)
class Server:
    """A server that answers: where, and by which version at first."""

    url: str
    version: int


def serve(
    workspace: Workspace,
    *,
    host: str,
    port: int,
    own: Sequence[str],
    ready: Callable[[Server], object],
    ended: Callable[[], object],
) -> None:
    """Serve the champion until SIGTERM or SIGINT; `ready` is told once it answers.

    Port 0 is any free one; `own` are the addresses, `host:port`, that it answers at beside where it
    listens. Raises UsageError where that is in use, NoChampionError, and what loading it raises.
    """
    key = server_key(workspace.root)
    with bound(host, port, "--port") as here:
        address = f"{host}:{here.getsockname()[1]}"
        with taking(workspace.root, address) as took:
            champion = Champion(workspace, took)
            first = champion.current()
            app = Guard(application(champion), own or [address], key=key)
            threading.Thread(target=_follow, args=[champion], daemon=True).start()
            ready(Server(f"http://{address}", first.number))
            answer_at(here, app, ended)


def _follow(champion: Champion) -> None:
    """Take a new champion also where nobody asks; what keeps us from it, whoever asks is told."""
    failing, pause = False, threading.Event()
    while not pause.wait(_LOOK_SECONDS):
        try:
            champion.current(anew=True)  # also where a restored store has another's place
            failing = False
        except (FlowError, SiftCoreError, LineageError) as error:
            if not failing:
                name = type(error).__name__
                event("champion not taken", level=logging.WARNING, error=name)
            failing = True
