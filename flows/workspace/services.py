"""What `sift up` has started for a workspace, written down, and whether each of it still runs.

A process is known by its number and its start: the system gives numbers again, and what `sift down`
stops must be what `sift up` started. Light to import: every command asks where Prefect runs.
"""

import os
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from flows.errors import FlowError

ServiceName = Literal["prefect", "mlflow", "worker"]
"""In the order in which they are started; they are stopped in the other."""

_SAME_START_SECONDS = 1.0
"""The start of a process is derived from the clock, and read back a little off."""


class Service(BaseModel):
    """One process that `sift up` started."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ServiceName
    pid: int
    started: float
    """Seconds since 1970, as the system has it."""
    log: Path
    url: str | None = None
    """Where people look at it; a worker has no page."""
    api: str | None = None
    """The API of the Prefect server that a worker works for."""
    pool: str | None = None
    """And the work pool there."""

    @property
    def process(self) -> psutil.Process | None:
        """The process, None where it has ended, also where its number is another's by now."""
        try:
            process = psutil.Process(self.pid)
            alive = process.status() != psutil.STATUS_ZOMBIE
            return process if self._is(process) and alive else None
        except psutil.NoSuchProcess:
            return None

    @property
    def number_is_anothers(self) -> bool:
        """Whether the system has given the number to another process since."""
        try:
            return not self._is(psutil.Process(self.pid))
        except psutil.NoSuchProcess:
            return False

    def _is(self, process: psutil.Process) -> bool:
        return bool(abs(process.create_time() - self.started) <= _SAME_START_SECONDS)


_RECORDS = TypeAdapter(tuple[Service, ...])


def records_path(root: Path) -> Path:
    """Where a workspace notes its services."""
    return root / ".sift" / "services.json"


def recorded(root: Path) -> tuple[Service, ...]:
    """Every service that is written down, running or not. Raises FlowError for a damaged file."""
    path = records_path(root)
    try:
        return _RECORDS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except ValidationError as error:
        raise FlowError(
            f"{path} is not a list of services.",
            remedy="end the services by hand if they run (`ps`), then delete this file.",
        ) from error


def running(root: Path) -> tuple[Service, ...]:
    """The services that `sift up` started here and that still run."""
    return tuple(service for service in recorded(root) if service.process is not None)


def write_down(root: Path, services: tuple[Service, ...]) -> None:
    """Note these services and no others; with none, the file goes."""
    path = records_path(root)
    if not services:
        path.unlink(missing_ok=True)
        return
    draft = path.with_suffix(".new")
    draft.write_bytes(_RECORDS.dump_json(services, indent=2))
    draft.replace(path)


def prefect_api(root: Path) -> str | None:
    """The API of the Prefect server that `sift up` runs for this workspace, None without one."""
    for service in running(root):
        if service.name == "prefect":
            return f"{service.url}/api"
    return None


def mlflow_page(root: Path) -> str | None:
    """The address of an MLflow server that shows this workspace's models, None without one.

    MLFLOW_TRACKING_URI goes first, where it is an address.
    """
    named = os.environ.get("MLFLOW_TRACKING_URI", "")
    if named.startswith(("http://", "https://")):
        return named.rstrip("/")
    for service in running(root):
        if service.name == "mlflow":
            return service.url
    return None
