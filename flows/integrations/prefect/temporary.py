"""The server that a flow brings along where none runs: ours, and it ends with who started it.

Prefect starts one by itself, which answers every page and outlives a command that is killed. It
takes whichever one its own list of servers holds, so ours is put there first.
"""

import os
import subprocess
import sys
from typing import Any

from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_AUTH_STRING, get_current_settings

from flows.errors import UsageError
from flows.integrations.prefect.server import KEY


class TemporaryServer(SubprocessASGIServer):
    """Prefect's server for one process, behind our guard, with the key that its clients send."""

    def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
        settings = get_current_settings().to_environment_variables(exclude_unset=True)
        key = PREFECT_API_AUTH_STRING.value()
        if not key:
            raise UsageError(
                "A flow would start a Prefect server that asks for no key.",
                remedy="call flows.workspace.prefect_home.keep_prefect_inside(workspace) before "
                "the first import of Prefect, as every `sift` command does.",
            )
        own = {
            "PREFECT_UI_ENABLED": "0",
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
            KEY: key,
        }
        command = [
            "-m",
            "flows.integrations.prefect.server",
            "--port",
            str(self.port),
            "--while-parent",
            "--quiet",
        ]
        return subprocess.Popen(  # noqa: S603  our own interpreter and fixed arguments
            [sys.executable, *command],
            env={**os.environ, **settings, **own},
            stdin=subprocess.PIPE,  # nobody writes: it is closed when this process ends
            start_new_session=True,  # Ctrl-C is for the command, which still has to say its end
        )


def bring_own_server() -> None:
    """Let Prefect, where it needs a temporary server, start this one."""
    TemporaryServer()
