"""The deployments of a workspace's `prefect.yaml`, registered with its Prefect server.

`prefect deploy` would do, but that of Prefect 3.8 asks the server for workers in a way that the
server refuses. The file keeps Prefect's own words.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from flows.errors import UsageError
from flows.workspace import Workspace, template

NAME = "prefect.yaml"

Text = Annotated[str, Field(min_length=1, max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScheduleEntry(_Part):
    """When a deployment runs by itself."""

    cron: Text
    timezone: Text = "UTC"
    active: bool = True


class PoolEntry(_Part):
    """Which work pool runs it."""

    name: Text


class DeploymentEntry(_Part):
    """One deployment, in the words of Prefect."""

    name: Text
    entrypoint: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$")]
    """A flow by its module path."""
    work_pool: PoolEntry
    description: str | None = None
    tags: list[Text] = []
    schedules: list[ScheduleEntry] = []
    parameters: dict[str, Any] = {}
    concurrency_limit: Annotated[int, Field(ge=1)] | None = None


class _File(_Part):
    deployments: list[DeploymentEntry]


def prefect_file(workspace: Workspace) -> Path:
    """The workspace's `prefect.yaml`; one that was made before there was one has the package's."""
    own = workspace.root / NAME
    return own if own.is_file() else template(NAME)


def read_deployments(path: Path) -> list[DeploymentEntry]:
    """The deployments of a `prefect.yaml`. Raises UsageError naming the first wrong field."""
    try:
        return _File.model_validate(YAML(typ="safe").load(path)).deployments
    except (YAMLError, UnicodeDecodeError) as error:
        found = " ".join(str(error).split())
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        found = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    raise UsageError(
        f"{path} is not a list of deployments: {found}.",
        remedy=f"correct it; the original is {template(NAME)}, and docs/operating.md explains it.",
    )


def pool_of(deployments: Iterable[DeploymentEntry], path: Path) -> str:
    """The work pool of all deployments. Raises UsageError where they name several, or none."""
    pools = sorted({entry.work_pool.name for entry in deployments})
    if len(pools) != 1:
        raise UsageError(
            f"{path} names {len(pools)} work pools, and `sift up` starts a worker for one.",
            remedy="name the same work_pool in every deployment.",
        )
    return pools[0]


def deploy(workspace: Workspace, deployments: Iterable[DeploymentEntry], address: str) -> None:
    """Register deployments at Prefect's API; again changes what has changed.

    Their runs work in the folder of the workspace. Raises UsageError for an entry that is no flow,
    or that Prefect refuses.
    """
    # Seconds of imports, after the server is up.
    from prefect.exceptions import PrefectException
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: address}):
        for entry in deployments:
            try:
                _deploy(workspace, entry)
            except (PrefectException, ImportError, AttributeError, TypeError, ValueError) as error:
                raise UsageError(
                    f"Prefect does not take deployment {entry.name!r}: "
                    f"{' '.join(str(error).split())[:300]}.",
                    remedy=f"correct it in {prefect_file(workspace)}, then run `sift up` again.",
                ) from error


def _deploy(workspace: Workspace, entry: DeploymentEntry) -> None:
    from prefect.deployments.runner import RunnerDeployment
    from prefect.flows import Flow, load_flow_from_entrypoint
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    flow: Flow[..., Any] = load_flow_from_entrypoint(entry.entrypoint)
    deployment = RunnerDeployment.from_flow(
        flow,
        name=entry.name,
        description=entry.description,
        tags=entry.tags,
        parameters=entry.parameters,
        schedules=[
            Cron(each.cron, timezone=each.timezone, active=each.active) for each in entry.schedules
        ],
        concurrency_limit=entry.concurrency_limit,
        work_pool_name=entry.work_pool.name,
        job_variables={"working_dir": str(workspace.root)},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    deployment.apply()


def worker_is_online(address: str, pool: str, name: str) -> bool:
    """Whether the worker of that name has told the pool that it is there."""
    try:
        found = httpx.post(f"{address}/work_pools/{pool}/workers/filter", json={}, timeout=10)
    except httpx.TransportError:
        return False
    return found.is_success and any(
        row["name"] == name and row["status"] == "ONLINE" for row in found.json()
    )
