"""The `finetune-shard` flow: what a worker of the pool runs. Started by builds, not by people."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.telemetry import hush

hush()

from flows.integrations.staging.staging import RemoteAddress  # noqa: E402


@flow(name="finetune-shard", persist_result=False)
def finetune_shard(
    remote: RemoteAddress,
    assignment: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")],
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")],
) -> int:
    """Finetune the contributors of an assignment, each alone; how many were finetuned.

    `remote` is where the staging area is, `assignment` its folder there, `sha256` of what is to be
    done.
    """
    from flows.training.workers.worker import carry_out, worker_home

    return carry_out(remote, assignment, sha256, worker_home())
