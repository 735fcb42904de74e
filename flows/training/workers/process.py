"""A process that works for a pool: it runs `finetune-shard`, whatever a server asks for."""

from pathlib import Path

from flows.integrations.prefect.worker import work as work_for
from flows.training.workers.pool import require_server
from flows.training.workers.worker import worker_home

ENTRYPOINT = "flows.training.workers.flow.finetune_shard"


def work(pool: str, name: str | None, limit: int) -> None:
    """Work for a pool until told to end. Raises PoolError where no server is named."""
    require_server()
    home: Path = worker_home()
    home.mkdir(parents=True, exist_ok=True)
    work_for(pool, name, lambda: {pool: ENTRYPOINT}, home, limit)
