"""`sift up` and `sift down`: one workspace's Prefect server, MLflow server and worker.

All of them listen on the loopback interface alone, and ask for the workspace's key. A server that
PREFECT_API_URL or MLFLOW_TRACKING_URI names is found and used, and never stopped. Where one thing
fails, nothing that this call started is left behind.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from flows.integrations.mlflow import server as mlflow_server
from flows.integrations.mlflow.own_store import OwnStore
from flows.integrations.prefect import server as prefect_server
from flows.operations.services.processes import (
    HOST,
    ServiceError,
    free_port,
    ok,
    start,
    stop,
    sweep,
    wait_for,
)
from flows.operations.services.registration import Api, deploy, mark_crashed, worker_is_online
from flows.progress import tracked
from flows.ui.prefect_yaml import pool_of, prefect_file, read_deployments
from flows.workspace.locks import only_one_serving
from flows.workspace.prefect_home import prefect_home
from flows.workspace.server_key import server_key
from flows.workspace.services import Service, ServiceName, recorded, running, write_down
from flows.workspace.workspace import Workspace

ServiceState = Literal["started", "running", "found"]


@dataclass(frozen=True)
class Up:
    """One service after `sift up`: started now, running already, or found where somebody said."""

    name: ServiceName
    standing: ServiceState
    url: str | None
    log: str | None

    def as_dict(self) -> dict[str, str | None]:
        """For JSON and tables."""
        return {"service": self.name, "standing": self.standing, "url": self.url, "log": self.log}


@dataclass
class _Services:
    """The services of one workspace while they are brought up."""

    workspace: Workspace
    running: dict[ServiceName, Service]
    started: list[Service]

    def keep(self, service: Service) -> Service:
        """Note a service before anything else can fail, so that `sift down` would find it."""
        self.started.append(service)
        self.running[service.name] = service
        write_down(self.workspace.root, tuple(self.running.values()))
        return service

    def launch(
        self,
        name: ServiceName,
        command: tuple[str, ...],
        variables: Mapping[str, str],
        **about: str | None,
    ) -> Service:
        """Start a service in the workspace's folder; `about` are more fields of its record."""
        root = self.workspace.root
        log = root / ".sift" / "logs" / f"{name}.log"
        service = start(name, command, folder=root, log=log, variables=variables)
        return self.keep(service.model_copy(update=about))

    def undo(self) -> None:
        """Stop what was started here."""
        for service in reversed(self.started):
            stop(service)
            del self.running[service.name]
        write_down(self.workspace.root, tuple(self.running.values()))


def up(workspace: Workspace, *, prefect_port: int, mlflow_port: int) -> list[Up]:
    """Start what does not run yet, wait until each answers, and register the deployments.

    Ports on the loopback interface; 0: any free one. Raises UsageError where a port is in use,
    ServiceError where something does not start or answer; then nothing new is left running.
    """
    # Prefect reads it when it is imported, by what registers the deployments.
    os.environ.setdefault("PREFECT_HOME", str(prefect_home(workspace.root)))
    with only_one_serving(workspace.root):
        _sweep(workspace)
        here = _Services(workspace, {one.name: one for one in running(workspace.root)}, [])
        try:
            return list(tracked("Starting", _bring_up(here, prefect_port, mlflow_port), 3))
        except BaseException:
            here.undo()
            raise


def down(workspace: Workspace) -> list[ServiceName]:
    """Stop what `sift up` started, the worker first, and wait for its end; what was stopped."""
    with only_one_serving(workspace.root):
        _sweep(workspace)
        order = get_args(ServiceName)
        left = sorted(running(workspace.root), key=lambda each: -order.index(each.name))
        worker = next((each for each in left if each.name == "worker"), None)
        at_work = bool(worker and worker.process and worker.process.children())
        stopped: list[ServiceName] = []
        try:
            for service in tracked("Stopping", left, len(left)):
                stopped += [service.name] * stop(service)
                if service is worker and at_work:
                    _tell_of(workspace, worker, left)
        finally:  # also where the server could not be told
            stopped += [service.name for service in left if stop(service)]
            write_down(workspace.root, ())
        return stopped


def _sweep(workspace: Workspace) -> None:
    """End what services left behind that have ended by themselves or were killed."""
    for service in recorded(workspace.root):
        if service.process is None:
            sweep(service)


def _tell_of(workspace: Workspace, worker: Service, left: Sequence[Service]) -> None:
    """Let a server of ours know that what the worker was running has crashed."""
    ours = {f"{service.url}/api" for service in left if service.name == "prefect"}
    if worker.api in ours and worker.pool:
        mark_crashed(Api(worker.api, server_key(workspace.root)), worker.pool)


def _bring_up(here: _Services, prefect_port: int, mlflow_port: int) -> Iterator[Up]:
    """One after the other: each needs the one before."""
    path = prefect_file(here.workspace)
    deployments = read_deployments(path)
    pool = pool_of(deployments, path)
    prefect = _prefect(here, prefect_port)
    yield prefect
    yield _mlflow(here, mlflow_port)
    api = _api(here, prefect)
    worker = _worker(here, api, pool)
    deploy(here.workspace, deployments, api)
    yield worker


def _api(here: _Services, prefect: Up) -> Api:
    """The server's API: with the workspace's key where it is the workspace's own server."""
    own = here.running.get("prefect")
    is_own = own is not None and own.url == prefect.url
    return Api(f"{prefect.url}/api", server_key(here.workspace.root) if is_own else None)


def _prefect(here: _Services, port: int) -> Up:
    if named := os.environ.get("PREFECT_API_URL"):
        page = named.rstrip("/").removesuffix("/api")
        return _found("prefect", page, f"{named.rstrip('/')}/health", "PREFECT_API_URL")
    if known := here.running.get("prefect"):
        return _again(known, f"{known.url}/api/health")
    free = free_port(port, "the Prefect server", "--prefect-port")
    url = f"http://{HOST}:{free}"
    variables = {
        **_variables(here.workspace, None),
        # The UI asks the API at the address that these make, whatever --port says.
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(free),
        prefect_server.KEY: server_key(here.workspace.root),
    }
    command = (prefect_server.__name__, "--port", str(free))
    service = here.launch("prefect", command, variables, url=url)
    wait_for(service, lambda: ok(f"{url}/api/health"))
    return Up("prefect", "started", url, str(service.log))


def _mlflow(here: _Services, port: int) -> Up:
    named = os.environ.get("MLFLOW_TRACKING_URI", "")
    if named.startswith(("http://", "https://")):
        return _found(
            "mlflow", named.rstrip("/"), f"{named.rstrip('/')}/health", "MLFLOW_TRACKING_URI"
        )
    if known := here.running.get("mlflow"):
        return _again(known, f"{known.url}/health")
    free = free_port(port, "MLflow", "--mlflow-port")
    url = f"http://{HOST}:{free}"
    store = OwnStore(here.workspace.root, here.workspace.settings.model.name)
    if not store.is_there():
        with here.workspace.lock():  # it is made in a folder that others sweep
            store.ensure_database()
    command = (
        *(mlflow_server.__name__, "--port", str(free)),
        *("--store", store.tracking_uri, "--artifacts", store.artifacts.as_uri()),
    )
    variables = _variables(here.workspace, None)
    variables[mlflow_server.KEY] = server_key(here.workspace.root)
    service = here.launch("mlflow", command, variables, url=url)
    wait_for(service, lambda: ok(f"{url}/health"))
    return Up("mlflow", "started", url, str(service.log))


def _worker(here: _Services, api: Api, pool: str) -> Up:
    if known := here.running.get("worker"):
        if (known.api, known.pool) == (api.address, pool):
            return Up("worker", "running", None, str(known.log))
        stop(known)  # it works for a server or a pool of before
    variables = _variables(here.workspace, api)
    name = f"sift-{here.workspace.settings.model.name}"
    command = ("flows.operations.services.worker", pool, name)
    service = here.launch("worker", command, variables, api=api.address, pool=pool)
    wait_for(service, lambda: worker_is_online(api, pool, name))
    return Up("worker", "started", None, str(service.log))


def _found(name: ServiceName, page: str, health: str, variable: str) -> Up:
    if not ok(health):
        raise ServiceError(
            f"{variable} names {page}, and nothing there answers.",
            remedy=f"start it, or unset {variable} and `sift up` starts one for this workspace.",
        )
    return Up(name, "found", page, None)


def _again(service: Service, health: str) -> Up:
    if not ok(health):
        raise ServiceError(
            f"{service.name} runs (process {service.pid}), and does not answer at {service.url}.",
            remedy=f"see {service.log}; `sift down`, then `sift up`.",
        )
    return Up(service.name, "running", service.url, str(service.log))


def _variables(workspace: Workspace, api: Api | None) -> dict[str, str]:
    """The environment of a service: ours, with Prefect at this address, or its own server."""
    kept = {
        name: value
        for name, value in os.environ.items()
        # A log file is there to be read; a terminal belongs to the person at it.
        if name not in ("PREFECT_API_URL", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL")
    }
    kept["PREFECT_HOME"] = str(prefect_home(workspace.root))
    if api:
        kept["PREFECT_API_URL"] = api.address
    if api and api.key:
        kept["PREFECT_API_AUTH_STRING"] = api.key
    return kept
