"""The `deadlines` flow: run it every day, and Prefect shows and tells what is late."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.erasure.deadlines import due, require_on_time
from flows.erasure.status import require_none_still_served
from flows.workspace.workspace import Workspace


@flow(name="deadlines", persist_result=False)
def deadlines(workspace: Path) -> list[dict[str, Any]]:
    """Show every deadline that is not met as the artifact `deadlines`; fail where one is pressing.

    `workspace` is the folder that `sift init` made. Raises DeadlineError, after the artifact is
    there, where one is overdue or due soon, and StillServedError where the champion holds somebody
    who is removed already: an automation on failed runs then tells who must act.
    """
    return watch_deadlines(Workspace.open(workspace))


def watch_deadlines(place: Workspace, due_soon_days: int | None = None) -> list[dict[str, Any]]:
    """The same within a flow run; `due_soon_days` instead of the policy's."""
    rows = [row for row in due(place, soon=due_soon_days) if row.days_left is not None]
    table = [row.as_dict() for row in rows]
    create_table_artifact(
        key="deadlines",
        table=table,
        description="Requests to acknowledge or answer, the nearest first",
    )
    require_none_still_served(place)
    require_on_time(rows)
    return table
