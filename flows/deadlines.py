"""The `deadlines` flow: run it every day, and Prefect shows and tells what is late."""

from typing import Any

from flows.erasure.deadlines import due, require_on_time
from flows.erasure.status import require_none_still_served
from flows.ui.artifacts import show_table
from flows.ui.forms import DeadlinesForm
from flows.ui.tasks import sift_flow
from flows.workspace.here import here


@sift_flow("deadlines", "deadlines")
def deadlines(form: DeadlinesForm = DeadlinesForm()) -> list[dict[str, Any]]:  # noqa: B008  Prefect reads it
    """Show every deadline that is not met as the artifact `deadlines`; fail where one is pressing.

    Raises DeadlineError, after the artifact is there, where one is overdue or due soon, and
    StillServedError where the champion holds somebody who is removed already: an automation on
    failed runs then tells who must act.
    """
    workspace = here()
    rows = [row for row in due(workspace, soon=form.due_soon_days) if row.days_left is not None]
    table = [row.as_dict() for row in rows]
    show_table("deadlines", table, "Requests to acknowledge or answer, the nearest first")
    require_none_still_served(workspace)
    require_on_time(rows)
    return table
