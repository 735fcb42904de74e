"""A worker of Prefect's that runs our own flows and nothing that a request names.

Prefect's own process worker runs what the server says: a command, an environment and a folder from
a flow run's job variables, a pool's template or a deployment, code from its entrypoint and its pull
steps. Whoever can write to the server can change all of these. Here a run brings the name of its
deployment and the parameters of its flow; what that name means stands on this side.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import anyio
import anyio.abc
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.runner._flow_run_executor import FlowRunExecutionResult, FlowRunExecutorContext
from prefect.runner._process_manager import ProcessHandle
from prefect.runner._starter_engine import EngineCommandStarter
from prefect.settings import PREFECT_WORKER_HEARTBEAT_SECONDS
from prefect.utilities.processutils import setup_signal_handlers_worker
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from flows.errors import FlowError

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import Flow as FlowRecord
    from prefect.client.schemas.objects import FlowRun, WorkPool
    from prefect.client.schemas.responses import DeploymentResponse

TYPE = "sift"
"""Of the work pools that such workers make."""
OWNER = "workspace"
"""The one thing that a deployment may say beside its flow: whose it is. Nothing reads it to run."""
CLOSED_TEMPLATE: dict[str, Any] = {
    "job_configuration": {"stream_output": True},  # an empty one is refused
    "variables": {
        "type": "object",
        "properties": {
            OWNER: {
                "title": "Workspace",
                "description": "The folder whose deployment this is. It decides nothing.",
                "type": "string",
            }
        },
        "additionalProperties": False,
    },
}
"""A pool's template that leaves nothing open, so that Prefect refuses the rest by itself."""

Entrypoints = Callable[[], Mapping[str, str]]
"""What may be run now: the module path of a flow by the name of its deployment."""


class NotOursError(FlowError):
    """A run asks for something that this worker does not run."""


class OwnConfiguration(ProcessJobConfiguration):
    """How a run is started: by this process's environment, whatever pool, deployment or run say."""

    deployment: str | None = None
    """The name of the run's deployment."""

    @classmethod
    async def from_template_and_values(
        cls,
        base_job_template: dict[str, Any],
        values: dict[str, Any],
        client: "PrefectClient | None" = None,
    ) -> Self:
        """Nothing of the template, and nothing of what was asked."""
        return cls()

    def prepare_for_flow_run(
        self,
        flow_run: "FlowRun",
        deployment: "DeploymentResponse | None" = None,
        flow: "FlowRecord | None" = None,
        work_pool: "WorkPool | None" = None,
        worker_name: str | None = None,
        worker_id: UUID | None = None,
    ) -> None:
        """Keep the deployment's name; Prefect adds what tells the run its own number."""
        super().prepare_for_flow_run(
            flow_run, deployment, flow, work_pool, worker_name, worker_id=worker_id
        )
        self.deployment = deployment.name if deployment else None


class OwnWorker(ProcessWorker):
    """Runs `entrypoints`, each in a process of its own in `folder`."""

    type = TYPE
    job_configuration = OwnConfiguration

    def __init__(self, *, entrypoints: Entrypoints, folder: Path, **about: Any) -> None:
        """`about` is Prefect's: the pool's and the worker's name, a limit."""
        super().__init__(base_job_template=CLOSED_TEMPLATE, **about)
        self._entrypoints = entrypoints
        self._folder = folder

    @classmethod
    def get_default_base_job_template(cls) -> dict[str, Any]:
        """What a pool gets that does not exist yet."""
        return CLOSED_TEMPLATE

    async def run(
        self,
        flow_run: "FlowRun",
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Run a flow of ours to its end. Raises NotOursError; then nothing was started."""
        entrypoint = self._entrypoint(configuration)
        started = task_status or anyio.TASK_STATUS_IGNORED
        done: list[FlowRunExecutionResult | None] = []
        async with FlowRunExecutorContext() as context:
            executor = context.create_executor(
                flow_run,
                EngineCommandStarter(
                    entrypoint=entrypoint,
                    cwd=self._folder,
                    env=configuration.env,
                    control_channel=context.control_channel,
                ),
                resolve_flow=_resolve(entrypoint),
                propose_submitting=False,
            )

            async def execute(*, task_status: anyio.abc.TaskStatus[ProcessHandle]) -> None:
                done.append(await executor.submit(task_status=task_status))

            async with anyio.create_task_group() as group:
                handle = await group.start(execute)
                started.started(handle.pid)
        (result,) = done
        if result is None or result.status_code is None:
            raise RuntimeError("The process of a run has not started.")
        return ProcessWorkerResult(status_code=result.status_code, identifier=str(handle.pid))

    def _entrypoint(self, configuration: ProcessJobConfiguration) -> str:
        known = self._entrypoints()
        name = configuration.deployment if isinstance(configuration, OwnConfiguration) else None
        if name is None or name not in known:
            raise NotOursError(
                f"This worker runs {', '.join(sorted(known))}, and nothing of another name.",
                remedy="delete the deployment of that name in Prefect.",
            )
        return known[name]


def _resolve(entrypoint: str) -> Callable[["FlowRun"], Any]:
    """The flow whose hooks are run when a run crashes or is cancelled: ours, not the server's."""

    async def resolve(_: "FlowRun") -> Flow[..., Any]:
        return load_flow_from_entrypoint(entrypoint)

    return resolve


def work(
    pool: str, name: str | None, entrypoints: Entrypoints, folder: Path, limit: int | None = None
) -> None:
    """Work for a pool until told to end. Blocks."""
    setup_signal_handlers_worker(os.getpid(), "the worker", print)

    async def serve() -> None:
        worker = OwnWorker(
            entrypoints=entrypoints,
            folder=folder,
            work_pool_name=pool,
            name=name,
            limit=limit,
            heartbeat_interval_seconds=int(PREFECT_WORKER_HEARTBEAT_SECONDS.value()),
        )
        await worker.start(printer=print)

    anyio.run(serve)
