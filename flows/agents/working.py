"""An agent's worker: it runs `finetune-shard`, and nothing else that a server could ask for."""

from pathlib import Path

from flows.agents.agent import agent_home
from flows.agents.pool import require_server
from flows.servers.worker import work as work_for

ENTRYPOINT = "flows.agents.flow.finetune_shard"


def work(pool: str, name: str | None, limit: int) -> None:
    """Work for a pool until told to end. Raises PoolError where no server is named."""
    require_server()
    home: Path = agent_home()
    home.mkdir(parents=True, exist_ok=True)
    work_for(pool, name, lambda: {pool: ENTRYPOINT}, home, limit)
