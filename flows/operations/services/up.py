"""`sift up`: one workspace's Prefect server, its MLflow server, and what runs its deployments.

Both servers listen on the loopback interface alone, and ask for the workspace's key. A server that
PREFECT_API_URL or MLFLOW_TRACKING_URI names is found and used instead, and never ended. Whatever
ends this process ends all of it.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

from flows.integrations.mlflow import server as mlflow_server
from flows.integrations.mlflow.own_store import OwnStore
from flows.integrations.prefect import server as prefect_server
from flows.operations.services.deployments import deploy, mark_crashed
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
from flows.progress import tell
from flows.ui.prefect_yaml import prefect_file, read_deployments
from flows.workspace.here import WORKSPACE_VARIABLE
from flows.workspace.locks import only_one_serving
from flows.workspace.prefect_home import prefect_home
from flows.workspace.server_key import server_key
from flows.workspace.services import Services, announced
from flows.workspace.workspace import Workspace

_WATCH_SECONDS = 0.5


@dataclass(frozen=True)
class Service:
    """One service: started here, or found where somebody said."""

    name: Literal["prefect", "mlflow", "runs"]
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
        tell("Starting", 0, 3)
        prefect, own_prefect = _prefect(workspace, prefect_port, stack)
        tell("Starting", 1, 3)
        mlflow, own_mlflow = _mlflow(workspace, mlflow_port, stack)
        tell("Starting", 2, 3)
        own = {server.name: server.url for server in (own_prefect, own_mlflow) if server}
        stack.enter_context(announced(workspace.root, Services(**own)))
        runs = _runs(workspace, own_prefect, stack)
        tell("Starting", 3, 3)
        yield Up(
            (prefect, mlflow, Service("runs", "started", None, None)),
            tuple(server for server in (own_prefect, own_mlflow) if server),
            runs,
        )


def _prefect(workspace: Workspace, port: int, stack: ExitStack) -> tuple[Service, Server | None]:
    if named := os.environ.get("PREFECT_API_URL"):
        page = named.rstrip("/").removesuffix("/api")
        health = f"{named.rstrip('/')}/health"
        return _found("prefect", page, health, "PREFECT_API_URL"), None
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
    return _started("prefect", workspace, free, command, variables, "/api/health", stack)


def _mlflow(workspace: Workspace, port: int, stack: ExitStack) -> tuple[Service, Server | None]:
    named = os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")
    if named.startswith(("http://", "https://")):
        return _found("mlflow", named, f"{named}/health", "MLFLOW_TRACKING_URI"), None
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
    return _started("mlflow", workspace, free, command, variables, "/health", stack)


def _started(
    name: Literal["prefect", "mlflow"],
    workspace: Workspace,
    port: int,
    command: tuple[str, ...],
    variables: dict[str, str],
    health: str,
    stack: ExitStack,
) -> tuple[Service, Server]:
    """A server of ours, once it answers."""
    url = f"http://{HOST}:{port}"
    log = workspace.root / ".sift" / "logs" / f"{name}.log"
    server = stack.enter_context(
        serving(name, url, command, folder=workspace.root, log=log, variables=variables)
    )
    server.wait_until(lambda: ok(f"{url}{health}"))
    return Service(name, "started", url, str(log)), server


def _found(name: Literal["prefect", "mlflow"], page: str, health: str, variable: str) -> Service:
    if not ok(health):
        raise ServiceError(
            f"{variable} names {page}, and nothing there answers.",
            remedy=f"start it, or unset {variable} and `sift up` starts one for this workspace.",
        )
    return Service(name, "found", page, None)


def _runs(workspace: Workspace, own: Server | None, stack: ExitStack) -> Runs:
    """Register the deployments, and begin to run them.

    Prefect reads its settings from the environment when it is imported, here for the first time;
    runs are processes that inherit it.
    """
    os.environ.setdefault("PREFECT_HOME", str(prefect_home(workspace.root)))
    os.environ[WORKSPACE_VARIABLE] = str(workspace.root)
    os.environ["PREFECT_RUNNER_SERVER_ENABLE"] = "false"  # it asks nobody for a key
    # What runs say belongs to the terminal that they run in.
    os.environ.pop("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", None)
    if own:
        os.environ["PREFECT_API_URL"] = f"{own.url}/api"
        os.environ["PREFECT_API_AUTH_STRING"] = server_key(workspace.root)
    from prefect.runner import Runner

    name = f"sift-{workspace.settings.model.name}"
    runner = Runner(name=name, pause_on_shutdown=False, limit=None)
    mark_crashed(deploy(workspace, runner))
    return stack.enter_context(running(runner))
