"""The work pool of a Prefect server, as far as handing out work needs it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from flows.integrations.staging.staging import RemoteAddress
from flows.training.workers.errors import PoolError

DEPLOYMENT = "finetune-shard"
"""The flow's name; a pool's deployment is `finetune-shard/<pool>`."""


@dataclass(frozen=True)
class RunState:
    """How a run stands: `name` is Prefect's word for it, `detail` what the run itself says.

    The name is of Prefect's closed list of types. The detail comes from a worker, so it is looked
    at and never shown.
    """

    phase: Literal["waiting", "working", "ended"]
    name: str
    detail: str = ""


class Pool(Protocol):
    """Whoever runs assignments."""

    name: str

    def is_attended(self) -> bool:
        """Whether a worker is there to take runs."""

    def start(self, remote: RemoteAddress, assignment: str, sha256: str, size: int) -> str:
        """Have an assignment of `size` contributors carried out; the run's id."""

    def run_states(self, runs: Iterable[str]) -> dict[str, RunState]:
        """How these runs stand now."""

    def give_up(self, run: str, why: str) -> None:
        """Count a run as crashed: nobody waits for it any more."""

    def cancel(self, run: str) -> None:
        """Ask for a run to be stopped."""


class PrefectPool:
    """A work pool by its name. Raises PoolError where Prefect or the deployment is not there."""

    def __init__(self, name: str, build_run: str | None = None) -> None:
        from prefect.client.orchestration import get_client
        from prefect.exceptions import ObjectNotFound

        require_server()
        self.name = name
        self._client = get_client(sync_client=True)
        self._tags = ["sift", "finetune", *([f"build {build_run}"] if build_run else [])]
        with _translated():
            try:
                found = self._client.read_deployment_by_name(f"{DEPLOYMENT}/{name}")
            except ObjectNotFound:
                raise PoolError(
                    f"Prefect has no deployment {DEPLOYMENT}/{name}.",
                    remedy=f"register it with `sift workers register {name}`.",
                ) from None
        self._deployment = found.id

    def start(self, remote: RemoteAddress, assignment: str, sha256: str, size: int) -> str:
        """Create the flow run. Its parameters name nobody: not even a contributor key."""
        with _translated():
            run = self._client.create_flow_run_from_deployment(
                self._deployment,
                parameters={
                    "remote": remote.model_dump(),
                    "assignment": assignment,
                    "sha256": sha256,
                },
                name=f"finetune {size} contributors, {assignment[:8]}",
                tags=self._tags,
                idempotency_key=assignment,
            )
        return str(run.id)

    def run_states(self, runs: Iterable[str]) -> dict[str, RunState]:
        """Ask Prefect about all of them; a run that was deleted there has ended."""
        from prefect.client.schemas.filters import FlowRunFilter
        from prefect.client.schemas.sorting import FlowRunSort

        ids = [UUID(run) for run in runs]
        if not ids:
            return {}
        wanted = FlowRunFilter.model_validate({"id": {"any_": ids}})
        with _translated():
            found = {
                str(run.id): run
                for start in range(0, len(ids), _PAGE)
                for run in self._client.read_flow_runs(
                    flow_run_filter=wanted, sort=FlowRunSort.ID_DESC, limit=_PAGE, offset=start
                )
            }
        run_states = {}
        for run_id in map(str, ids):
            state = found[run_id].state if run_id in found else None
            if state is None:
                run_states[run_id] = RunState("ended", "Deleted")
                continue
            phase: Literal["waiting", "working", "ended"] = "working"
            if state.is_final():
                phase = "ended"
            elif state.is_scheduled():
                phase = "waiting"
            # Not the state's own name, which whoever sets a state may choose.
            run_states[run_id] = RunState(phase, state.type.value.capitalize(), state.message or "")
        return run_states

    def is_attended(self) -> bool:
        """Ask Prefect which workers have lately told that they are there."""
        from flows.integrations.prefect.workers import online_workers

        with _translated():
            return bool(online_workers(self._client, self.name))

    def give_up(self, run: str, why: str) -> None:
        """Set the run to Crashed, whatever its worker goes on to say."""
        from prefect.states import Crashed

        with _translated():
            self._client.set_flow_run_state(UUID(run), Crashed(message=why), force=True)

    def cancel(self, run: str) -> None:
        """Set the run to Cancelling: its worker then ends the process."""
        from prefect.client.schemas.objects import State, StateType

        with _translated():
            self._client.set_flow_run_state(UUID(run), State(type=StateType.CANCELLING))


_PAGE = 200
"""Prefect's own limit of what it answers at once."""


def register(pool: str) -> str:
    """Make or renew the deployment on a work pool, and the pool where there is none.

    The deployment's full name. Raises PoolError.
    """
    from prefect.deployments.runner import RunnerDeployment
    from prefect.types.entrypoint import EntrypointType

    from flows.training.workers.flow import finetune_shard

    deployment = RunnerDeployment.from_flow(
        finetune_shard,
        name=pool,
        work_pool_name=pool,
        tags=["sift", "finetune"],
        description="Finetunes contributors for `sift build`. Started by builds, not by people.",
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    require_server()
    with _translated():
        _ensure_pool(pool)
        try:
            deployment.apply()
        except ValueError as error:
            raise PoolError(
                f"Prefect does not take the deployment: {' '.join(str(error).split())[:200]}",
                remedy="see that the server is of the version that docs/how-to/workers.md names.",
            ) from error
    return deployment.full_name


def _ensure_pool(name: str) -> None:
    """Make the pool of our own workers; one that is there, as of Kubernetes, stays as it is."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    from flows.integrations.prefect.worker import CLOSED_TEMPLATE, TYPE

    pool = WorkPoolCreate(name=name, type=TYPE, base_job_template=CLOSED_TEMPLATE)
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_work_pool(pool)


def require_server() -> None:
    """Raise PoolError where no server is named that workers could reach."""
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value() is None:
        raise PoolError(
            "There is no Prefect server that workers could reach.",
            remedy="start one (docs/how-to/workers.md) and set PREFECT_API_URL, here and on every "
            "worker; or set build.pool to null.",
        )


@contextmanager
def _translated() -> Iterator[None]:
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        yield
    except PrefectHTTPStatusError as error:
        answer = error.response
        raise PoolError(
            f"The Prefect server refuses, status {answer.status_code}: {answer.text[:200]}",
            remedy="see that it is of the version that docs/how-to/workers.md names, then run "
            "this again.",
        ) from error
    except httpx.HTTPError as error:
        raise PoolError(
            f"The Prefect server does not answer: {type(error).__name__}.",
            remedy="see that it runs and that PREFECT_API_URL names it, then run this again.",
        ) from error
