"""`sift up`: one workspace's Prefect server, its MLflow server, and what runs its deployments.

Both servers listen on the loopback interface alone, and ask for the workspace's key. A server that
PREFECT_API_URL or MLFLOW_TRACKING_URI names is found and used instead, and never ended. Whatever
ends this process ends all of it.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from flows.integrations.mlflow import server as mlflow_server
from flows.integrations.mlflow.own_store import OwnStore
from flows.integrations.prefect import server as prefect_server
from flows.operations.services.deployments import loaded, mark_crashed, register
from flows.operations.services.forks import forking_runs
from flows.operations.services.runs import Runs, running
from flows.operations.services.servers import (
    HOST,
    Server,
    ServiceError,
    free_port,
    inherited,
    ok,
    serving,
)
from flows.progress import tracked
from flows.ui.prefect_yaml import prefect_file, read_deployments
from flows.workspace.here import WORKSPACE_VARIABLE
from flows.workspace.locks import only_one_serving
from flows.workspace.prefect_home import prefect_home
from flows.workspace.server_key import server_key
from flows.workspace.services import Services, announced
from flows.workspace.workspace import Workspace

if TYPE_CHECKING:
    from prefect.runner import Runner

_WATCH_SECONDS = 0.5
_LOOK_SECONDS = 1
"""How often the runner asks the server for runs to start."""


@dataclass(frozen=True)
class Service:
    """One service: started here, or found where somebody said."""

    name: str
    state: Literal["started", "found"]
    url: str | None
    log: str | None

    def as_dict(self) -> dict[str, str | None]:
        """For JSON and tables."""
        return {"service": self.name, "state": self.state, "url": self.url, "log": self.log}


@dataclass(frozen=True)
class Up:
    """All services of a workspace, while they run."""

    services: tuple[Service, ...]
    servers: tuple[Server, ...]
    runs: Runs

    def wait(self) -> None:
        """Watch over them, for ever. Raises ServiceError where one ends by itself."""
        while True:
            for server in self.servers:
                server.require_alive()
            self.runs.require_alive()
            time.sleep(_WATCH_SECONDS)


@contextmanager
def up(workspace: Workspace, *, prefect_port: int, mlflow_port: int) -> Iterator[Up]:
    """Start all services, wait until each answers, and end them with the block.

    Ports on the loopback interface; 0: any free one. Raises UsageError where a port is in use or a
    deployment is wrong, ServiceError where something does not start or answer, WorkspaceBusyError
    where they run already. Nothing that was started is left behind.
    """
    read_deployments(prefect_file(workspace))  # wrong settings are refused before anything starts
    with ExitStack() as stack:
        stack.enter_context(only_one_serving(workspace.root))
        servers = [
            server
            for begin, port in ((_prefect, prefect_port), (_mlflow, mlflow_port))
            if (server := begin(workspace, port, stack))
        ]
        own = {server.name: server.url for server in servers}
        _settle_environment(workspace, own.get("prefect"))
        deployments = loaded(workspace)  # seconds of imports, while the servers start
        for server in tracked("Starting", servers, len(servers)):
            server.wait_until_it_answers()
        stack.enter_context(announced(workspace.root, Services(**own)))
        runner = _runner(workspace)
        mark_crashed(register(workspace, runner, deployments))
        stack.enter_context(forking_runs())
        runs = stack.enter_context(running(runner))
        yield Up(tuple(_services(servers)), tuple(servers), runs)


def _runner(workspace: Workspace) -> "Runner":
    from prefect.runner import Runner

    name = f"sift-{workspace.settings.model.name}"
    return Runner(name=name, pause_on_shutdown=False, limit=None, query_seconds=_LOOK_SECONDS)


def _services(servers: Sequence[Server]) -> Iterator[Service]:
    """What is shown of each, in the order in which they need each other."""
    own = {server.name: server for server in servers}
    for name, variable in (("prefect", "PREFECT_API_URL"), ("mlflow", "MLFLOW_TRACKING_URI")):
        if server := own.get(name):
            yield Service(name, "started", server.url, str(server.log))
        else:
            page = os.environ[variable].rstrip("/").removesuffix("/api")
            yield Service(name, "found", page, None)
    yield Service("runs", "started", None, None)


def _prefect(workspace: Workspace, port: int, stack: ExitStack) -> Server | None:
    """The Prefect server of this workspace, starting; None where another one is named."""
    if named := os.environ.get("PREFECT_API_URL"):
        _require_answer("PREFECT_API_URL", f"{named.rstrip('/')}/health")
        return None
    free = free_port(port, "the Prefect server", "--prefect-port")
    variables = {
        **inherited(),
        "PREFECT_HOME": str(prefect_home(workspace.root)),
        # The UI asks the API at the address that these make, whatever --port says.
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(free),
        prefect_server.KEY: server_key(workspace.root),
    }
    command = (prefect_server.__name__, "--port", str(free))
    return _begun("prefect", workspace, free, command, variables, "/api/health", stack)


def _mlflow(workspace: Workspace, port: int, stack: ExitStack) -> Server | None:
    """The MLflow server of this workspace, starting; None where another one is named."""
    named = os.environ.get("MLFLOW_TRACKING_URI", "")
    if named.startswith(("http://", "https://")):
        _require_answer("MLFLOW_TRACKING_URI", f"{named.rstrip('/')}/health")
        return None
    free = free_port(port, "MLflow", "--mlflow-port")
    store = OwnStore(workspace.root, workspace.settings.model.name)
    if not store.is_there():
        with workspace.lock():  # it is made in a folder that others sweep
            store.ensure_database()
    command = (
        *(mlflow_server.__name__, "--port", str(free)),
        *("--store", store.tracking_uri, "--artifacts", store.artifacts.as_uri()),
    )
    variables = {**inherited(), mlflow_server.KEY: server_key(workspace.root)}
    return _begun("mlflow", workspace, free, command, variables, "/health", stack)


def _begun(
    name: str,
    workspace: Workspace,
    port: int,
    command: tuple[str, ...],
    variables: dict[str, str],
    health: str,
    stack: ExitStack,
) -> Server:
    url = f"http://{HOST}:{port}"
    log = workspace.root / ".sift" / "logs" / f"{name}.log"
    folder = workspace.root
    return stack.enter_context(
        serving(name, url, health, command, folder=folder, log=log, variables=variables)
    )


def _require_answer(variable: str, health: str) -> None:
    """Raise ServiceError where nothing answers at the address that a variable names."""
    if not ok(health):
        raise ServiceError(
            f"{variable} names {os.environ[variable]}, and nothing there answers.",
            remedy=f"start it, or unset {variable} and `sift up` starts one for this workspace.",
        )


def _settle_environment(workspace: Workspace, prefect: str | None) -> None:
    """What Prefect reads when it is imported, afterwards, and what runs inherit."""
    os.environ.setdefault("PREFECT_HOME", str(prefect_home(workspace.root)))
    os.environ[WORKSPACE_VARIABLE] = str(workspace.root)
    os.environ["PREFECT_RUNNER_SERVER_ENABLE"] = "false"  # it asks nobody for a key
    # What runs say belongs to the terminal that they run in.
    os.environ.pop("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", None)
    if prefect:
        os.environ["PREFECT_API_URL"] = f"{prefect}/api"
        os.environ["PREFECT_API_AUTH_STRING"] = server_key(workspace.root)
