"""Our flows run by Prefect, as commands run them, and what its server then knows."""

from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import Artifact, FlowRun
from prefect.client.schemas.sorting import FlowRunSort

from flows.build import BuildResult, build
from flows.deadlines import deadlines
from flows.opt_out import OptOutResult, opt_out
from flows.ui.forms import OptOutForm
from flows.workspace.here import working_on
from flows.workspace.workspace import Workspace


def build_by_flow(workspace: Workspace) -> BuildResult:
    """The `build` flow on a workspace."""
    with working_on(Workspace.open(workspace.root)):
        return build()


def opt_out_by_flow(workspace: Workspace, *requests: str, ask: bool = False) -> list[OptOutResult]:
    """The `opt-out` flow for these requests."""
    with working_on(Workspace.open(workspace.root)):
        return opt_out(OptOutForm(requests=list(requests), ask_for_approval=ask))


def deadlines_by_flow(workspace: Workspace) -> list[dict[str, Any]]:
    """The `deadlines` flow on a workspace."""
    with working_on(Workspace.open(workspace.root)):
        return deadlines()


def last_run() -> FlowRun:
    """The newest flow run that the Prefect server knows."""
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0]


def artifacts(run: FlowRun) -> dict[str | None, Artifact]:
    """What a flow run has published, by key."""
    with get_client(sync_client=True) as client:
        answer = client.request(
            "POST",
            "/artifacts/filter",
            json={"artifacts": {"flow_run_id": {"any_": [str(run.id)]}}},
        )
    return {row.key: row for row in map(Artifact.model_validate, answer.json())}
