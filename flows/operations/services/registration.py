"""Registering the deployments of a `prefect.yaml`, and what else is asked of Prefect's API.

`prefect deploy` would register them, but that of Prefect 3.8 asks the server for workers in a way
that the server refuses. Prefect is imported within: that takes seconds, and `--help` needs none.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flows.errors import UsageError
from flows.operations.services.processes import ServiceError
from flows.ui.prefect_yaml import DeploymentEntry, prefect_file
from flows.workspace.here import working_on
from flows.workspace.workspace import Workspace

_MOST_RUNS = 200
"""A server gives no more at once."""
_UNFINISHED = ["PENDING", "RUNNING", "PAUSED", "CANCELLING"]


@dataclass(frozen=True)
class Api:
    """A Prefect server: where its API is, and the key that it asks for.

    Without a key, the one that the person's own settings name.
    """

    address: str
    key: str | None = field(default=None, repr=False)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let Prefect's clients ask there."""
        from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

        settings: dict[Any, Any] = {PREFECT_API_URL: self.address}
        with temporary_settings(
            settings | ({PREFECT_API_AUTH_STRING: self.key} if self.key else {})
        ):
            yield


def deploy(workspace: Workspace, deployments: Iterable[DeploymentEntry], api: Api) -> None:
    """Register deployments at Prefect's API; again changes what has changed.

    What one of them runs, and where, is not asked of the server again
    (flows/integrations/prefect/worker.py). Raises UsageError for an entry that is no flow, that
    Prefect refuses, or whose name another workspace has taken.
    """
    # Seconds of imports, after the server is up.
    from prefect.exceptions import PrefectException

    with api.used(), working_on(workspace):  # whose policy says what the forms offer
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

    from flows.integrations.prefect.worker import OWNER

    flow: Flow[..., Any] = load_flow_from_entrypoint(entry.entrypoint)
    _require_free(workspace, entry, f"{flow.name}/{entry.name}")
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
        job_variables={OWNER: str(workspace.root)},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    deployment.apply()


def _require_free(workspace: Workspace, entry: DeploymentEntry, name: str) -> None:
    """Raise UsageError where a server that several workspaces use has this name of another one."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    from flows.integrations.prefect.worker import OWNER

    with get_client(sync_client=True) as client:
        try:
            known = client.read_deployment_by_name(name)
        except ObjectNotFound:
            return
    folder = known.job_variables.get(OWNER)
    if folder != str(workspace.root):
        raise UsageError(
            f"The Prefect server has a deployment {name!r} of {folder or 'somebody else'}.",
            remedy=f"give deployment and work_pool other names in {prefect_file(workspace)}.",
        )


def worker_is_online(api: Api, pool: str, name: str) -> bool:
    """Whether the worker of that name has told the pool that it is there."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    from flows.integrations.prefect.workers import online_workers

    with api.used(), get_client(sync_client=True) as client:
        try:
            return name in online_workers(client, pool)
        except (PrefectHTTPStatusError, httpx.TransportError):  # no such pool yet
            return False


def mark_crashed(api: Api, pool: str) -> None:
    """Let the runs of a pool whose worker was stopped be crashed, and not run or wait for ever.

    Raises ServiceError where the server cannot be told.
    """
    import httpx
    from prefect.exceptions import PrefectException

    with api.used():
        try:
            _mark_crashed(pool)
        except (PrefectException, httpx.HTTPError) as error:
            raise ServiceError(
                f"Prefect at {api.address} was not told of stopped runs: they seem to go on.",
                remedy="cancel them on their pages after the next `sift up`, and start them again.",
            ) from error


def _mark_crashed(pool: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.states import Crashed

    said = "Stopped by `sift down`. Try it again after `sift up`: it goes on where it stopped."
    with get_client(sync_client=True) as client:
        # What is left to its default is sent as null, which the server does not take for one.
        unfinished = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate(
                {"state": {"type": {"any_": _UNFINISHED}}}
            ),
            work_pool_filter=WorkPoolFilter.model_validate({"name": {"any_": [pool]}}),
            sort=FlowRunSort.ID_DESC,
            limit=_MOST_RUNS,
        )
        for run in unfinished:
            client.set_flow_run_state(run.id, Crashed(message=said), force=True)
