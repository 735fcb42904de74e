"""The flows as `prefect.yaml` deploys them: a form in, and the workspace of the folder they run in.

They are the flows of the command line under another door: the same names, tasks and artifacts. A
scheduled run waits for its turn where a command would say that the workspace is busy.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.audit import Audit, audit_workspace
from flows.build import BuildResult, build_workspace
from flows.deadlines import watch_deadlines
from flows.erasure.approvals import obstacle
from flows.opt_out import OptOutResult, honour, open_requests
from flows.ui.approval_form import ask_until_decided
from flows.ui.forms import AuditForm, BuildForm, DeadlinesForm, OptOutForm, ProcessForm
from flows.ui.request_form import take_in
from flows.workspace.workspace import Workspace

PATIENCE_SECONDS = 24 * 3600.0
"""How long a run waits for another that is changing the workspace."""


def here() -> Workspace:
    """The workspace of the folder that a deployed run works in."""
    return Workspace.open(Path(), patience=PATIENCE_SECONDS)


def run_name(what: str) -> str:
    """Such as `build films, 2026-11-25 03:00`: what, of which model, when in UTC."""
    return f"{what} {here().settings.model.name}, {datetime.now(UTC):%Y-%m-%d %H:%M}"


@flow(name="build", flow_run_name=lambda: run_name("build"), persist_result=False)
def build(form: BuildForm = BuildForm()) -> BuildResult:  # noqa: B008  Prefect reads it from here
    """Build the model from its contributors; do again only what has changed."""
    return build_workspace(here(), rederive=form.exactness == "finetune everybody again")


@flow(
    name="opt-out",
    flow_run_name=lambda: run_name("opt-out"),
    persist_result=False,
    validate_parameters=False,  # `take_in` does, and makes Prefect forget what is refused
)
def opt_out(form: OptOutForm = OptOutForm()) -> list[OptOutResult]:  # noqa: B008  as above
    """File a request or take filed ones, ask for approval in this run's page, and honour them."""
    place = here()
    return honour(place, ask_until_decided(place, take_in(place, form)))


@flow(name="process-requests", flow_run_name=lambda: run_name("requests"), persist_result=False)
def process_requests(form: ProcessForm = ProcessForm()) -> list[OptOutResult]:  # noqa: B008
    """Honour every request that is approved and on no hold; show what the others wait for.

    Fails, after all that could be done, where one was set aside: so an automation tells somebody.
    """
    place = here()
    found = {name: obstacle(place, name) for name in open_requests(place)}
    ready = [name for name, why in found.items() if why is None][: form.at_most]
    table: list[dict[str, Any]] = [
        {
            "request": name,
            "now": "honoured" if name in ready else "waits",
            "for": "" if name in ready else (why.facts if why else "the next run"),
            "to go on": why.remedy if why else "",
        }
        for name, why in found.items()
    ]
    create_table_artifact(key="open-requests", table=table, description="Open requests, this run")
    if form.only_show or not ready:
        return []
    return honour(place, ready)


@flow(name="audit", flow_run_name=lambda: run_name("audit"), persist_result=False)
def audit(form: AuditForm = AuditForm()) -> Audit:  # noqa: B008  as above
    """Check audit log, rows, files, DVC, MLflow, reports, and the merge to the bit."""
    return audit_workspace(here(), form.checks)


@flow(name="deadlines", flow_run_name=lambda: run_name("deadlines"), persist_result=False)
def deadlines(form: DeadlinesForm = DeadlinesForm()) -> list[dict[str, Any]]:  # noqa: B008
    """Show every deadline that is not met; fail where one is overdue or due soon."""
    return watch_deadlines(here(), form.due_soon_days)
