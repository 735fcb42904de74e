"""The deployments of a `prefect.yaml`, told to Prefect's runner, which runs these flows.

A runner that was given the flows themselves runs them, whatever the server's records say about
entrypoints, commands, environments or pull steps; whoever can write to the server can change all of
those. So a run brings the parameters of its form, and nothing else.

Prefect is imported within: that takes seconds, and `--help` needs none.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from flows.errors import UsageError
from flows.operations.services.runs import tied_to_parent
from flows.ui.prefect_yaml import DeploymentEntry, prefect_file, read_deployments
from flows.ui.tasks import loaded_flow
from flows.workspace.here import working_on
from flows.workspace.workspace import Workspace

if TYPE_CHECKING:
    from prefect.flows import Flow
    from prefect.runner import Runner

_MOST_RUNS = 200
"""A server gives no more at once."""
_UNFINISHED = ["PENDING", "RUNNING", "PAUSED", "CANCELLING"]


@dataclass(frozen=True)
class Deployment:
    """An entry of `prefect.yaml`, and the flow that it names."""

    entry: DeploymentEntry
    flow: "Flow[..., Any]"


def loaded(workspace: Workspace) -> list[Deployment]:
    """The workspace's deployments. Raises UsageError for an entry that is no flow."""
    found = []
    for entry in read_deployments(prefect_file(workspace)):
        with _refusing(workspace, entry):
            found.append(Deployment(entry, loaded_flow(entry.entrypoint)))
    return found


def register(workspace: Workspace, runner: "Runner", deployments: list[Deployment]) -> set[UUID]:
    """Tell Prefect's server of deployments, for this runner; the server's numbers of them.

    Again changes what has changed. Raises UsageError for an entry that Prefect refuses, or whose
    name another workspace has taken.
    """
    numbers: set[UUID] = set()
    for each in deployments:
        with _refusing(workspace, each.entry):
            _require_free(workspace, each.entry, f"{each.flow.name}/{each.entry.name}")
            numbers.add(_register(workspace, runner, each.entry, each.flow))
    return numbers


@contextmanager
def _refusing(workspace: Workspace, entry: DeploymentEntry) -> Iterator[None]:
    """Say which entry it is that does not work, while its flow sees this workspace's policy."""
    from prefect.exceptions import PrefectException

    try:
        with working_on(workspace):
            yield
    except (PrefectException, ImportError, AttributeError, TypeError, ValueError) as error:
        raise UsageError(
            f"Prefect does not take deployment {entry.name!r}: "
            f"{' '.join(str(error).split())[:300]}.",
            remedy=f"correct it in {prefect_file(workspace)}, then run `sift up` again.",
        ) from error


def _register(
    workspace: Workspace, runner: "Runner", entry: DeploymentEntry, flow: "Flow[..., Any]"
) -> UUID:
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    number = runner.add_flow(
        tied_to_parent(flow),
        name=entry.name,
        description=entry.description,
        tags=[*entry.tags, _owner(workspace)],
        parameters=entry.parameters,
        schedules=[
            Cron(each.cron, timezone=each.timezone, active=each.active) for each in entry.schedules
        ],
        concurrency_limit=entry.concurrency_limit,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    return cast("UUID", number)  # a coroutine to those who are one


def _owner(workspace: Workspace) -> str:
    """The tag that says whose a deployment is. It decides nothing but who may replace it."""
    return f"workspace: {workspace.root}"


def _require_free(workspace: Workspace, entry: DeploymentEntry, name: str) -> None:
    """Raise UsageError where a server that several workspaces use has this name of another one."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            known = client.read_deployment_by_name(name)
        except ObjectNotFound:
            return
    if _owner(workspace) not in known.tags:
        others = [tag for tag in known.tags if tag.startswith("workspace: ")]
        raise UsageError(
            f"The Prefect server has a deployment {name!r} of {(*others, 'somebody else')[0]}.",
            remedy=f"give the deployment another name in {prefect_file(workspace)}.",
        )


def mark_crashed(deployments: Collection[UUID]) -> None:
    """Let runs be crashed that nothing is at any more: the `sift up` that ran them was killed."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.states import Crashed

    said = "The `sift up` that ran it was killed. Try it again: it goes on where it stopped."
    with get_client(sync_client=True) as client:
        # What is left to its default is sent as null, which the server does not take for one.
        unfinished = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate(
                {"state": {"type": {"any_": _UNFINISHED}}}
            ),
            deployment_filter=DeploymentFilter.model_validate({"id": {"any_": [*deployments]}}),
            sort=FlowRunSort.ID_DESC,
            limit=_MOST_RUNS,
        )
        for run in unfinished:
            client.set_flow_run_state(run.id, Crashed(message=said), force=True)
