"""The `opt_out` flow: requests through their steps, from wherever each stands to its end.

The order of the steps is lineage's (`lineage.opt_out.STEPS`); here each gets its work. Requests
take a step together, so however many leave, there is one new merge state and one model version.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.erasure.approvals import obstacle, ready, require_permission
from flows.erasure.catch_up import carry_out_again
from flows.erasure.request import Request, open_requests
from flows.erasure.results import Quality, Removal, as_details
from flows.erasure.set_aside import SetAsideError, in_words, is_foreseen, setting_aside
from flows.errors import UsageError
from flows.evidence.report_contents import read_report
from flows.progress import tracked
from flows.ui.artifacts import (
    report_line,
    show_before_and_after,
    show_destroyed,
    show_exactness,
    show_open_requests,
    show_set_aside,
    show_summary,
    showing_progress,
)
from flows.ui.forms import OptOutForm, ProcessForm
from flows.ui.request_form import take_in
from flows.ui.run_events import observed
from flows.ui.tasks import sift_flow, sift_task
from flows.workspace.here import here
from flows.workspace.keyring import require_signing_key
from flows.workspace.run_status import noted
from flows.workspace.workspace import Workspace
from lineage.opt_out import UNFULFILLED

if TYPE_CHECKING:
    from flows.erasure.steps.step import Step


@dataclass(frozen=True)
class SetAside:
    """The step a request could not take, why, and what to do about it."""

    step: str | None
    reason: str
    remedy: str


@dataclass(frozen=True)
class OptOutResult:
    """How a request ended, or why it is set aside."""

    request_id: str
    contributor_key: str
    records: int | None
    """How many records were withdrawn; None: the contributor with all data."""
    report: Path | None = None
    version: int | None = None
    removal: Removal | None = None
    quality: Quality | None = None
    destroyed: int = 0
    set_aside: SetAside | None = None
    """None: it has ended, and the others say how."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        parts = {"removal": self.removal, "quality": self.quality}
        told = {name: as_details(part) if part else {} for name, part in parts.items()}
        return {**vars(self), **told, "set_aside": self.set_aside and vars(self.set_aside)}


def take_steps(
    requests: Sequence[Request], take: "Callable[[list[Request], Step], None] | None" = None
) -> None:
    """Take all requests to their end; each joins the others at the step it stands before.

    `take` does one step of some requests: the work itself, or a task around it. A request that
    cannot take a step is set aside, and the others go on: SetAsideError is raised once they have
    ended, and at once what concerns all.
    """
    # torch, transformers and MLflow, seconds of imports: who is refused has not waited for them.
    from flows.erasure.steps import STEPS

    troubles: dict[str, Exception] = {}
    order = list(STEPS)
    joins = {request: order.index(step) for request, step in _upcoming(requests).items()}
    remaining = order[min(joins.values(), default=len(order)) :]
    for name in tracked("Opting out", remaining, len(remaining)):
        together = [
            request
            for request, first in joins.items()
            if first <= order.index(name) and request.request_id not in troubles
        ]
        if together:
            try:
                (take or _work)(together, STEPS[name])
            except SetAsideError as error:
                troubles |= error.troubles
    if troubles:
        raise SetAsideError(troubles)


def _work(requests: list[Request], step: "Step") -> None:
    # A task that is tried again has done it for some; others may have been rejected.
    due = [request for request, name in _upcoming(requests).items() if name == step.name]
    if due:
        names = [request.request_id for request in due]
        with observed(due[0].workspace, f"opt_out.{step.name}", names):
            step.work(due)


def _upcoming(requests: Sequence[Request]) -> dict[Request, str]:
    """The first step that is not done, of each request that has not ended."""
    if not requests:
        return {}
    with requests[0].workspace.lineage.reader() as reader:
        found = {request: reader.next_step(request.request_id) for request in requests}
    return {request: step for request, step in found.items() if step is not None}


@sift_flow(
    "opt-out",
    "opt-out",
    validate_parameters=False,  # `take_in` does, and makes Prefect forget what is refused
)
def opt_out(form: OptOutForm = OptOutForm()) -> list[OptOutResult]:  # noqa: B008  Prefect reads it
    """Honour requests; one that was interrupted goes on where it stopped.

    Those that the form names, and the one that it files; without any, every open one. Each that is
    not approved is asked for in this run's page. Where the form says not to ask, one that it names
    is refused by NotApprovedError or OnHoldError before anything has changed, and of all open ones
    those are left out. Opt-outs that a restored backup has undone are carried out again first.
    Raises what `honour` does.
    """
    workspace = here()
    form = take_in(workspace, form)
    if form.ask_for_approval:
        from flows.ui.approval_form import ask_until_decided  # Prefect, which shows the form

        return honour(
            workspace, ask_until_decided(workspace, form.requests or open_requests(workspace))
        )
    if not form.requests:
        return honour(workspace, ready(workspace))
    requests = [Request(workspace, name) for name in form.requests]
    require_fulfillable(requests)
    require_permission(workspace, [r.request_id for r in requests if r.next_step() is not None])
    return honour(workspace, form.requests)


@sift_flow("process-requests", "requests")
def process_requests(form: ProcessForm = ProcessForm()) -> list[OptOutResult]:  # noqa: B008  as above
    """Honour every request that is approved and on no hold; show what the others wait for.

    Fails, after all that could be done, where one was set aside: so an automation tells somebody.
    """
    workspace = here()
    waiting = {name: obstacle(workspace, name) for name in open_requests(workspace)}
    able = [name for name, why in waiting.items() if why is None][: form.at_most]
    show_open_requests(waiting, able)
    return [] if form.only_show or not able else honour(workspace, able)


def honour(workspace: Workspace, request_ids: Sequence[str]) -> list[OptOutResult]:
    """Take requests to their end, within a flow run; first those a restored backup has undone.

    One that cannot go on, also because it is on hold since a moment ago, is set aside; the others
    end. Raises SetAsideError then, with the results of all; of a run with one request, what that
    ran into.
    """
    requests = [Request(workspace, name) for name in request_ids]
    require_fulfillable(requests)
    require_signing_key(workspace.root)
    troubles: dict[str, Exception] = {}
    again: list[Request] = []
    try:
        with workspace.lock(), noted(workspace, "opt-out"), setting_aside() as aside:
            again = carry_out_again(workspace, carry_out, aside)
            carry_out(requests)
    except SetAsideError as error:
        troubles = error.troubles
    results = [
        _result(request, troubles.get(request.request_id)) for request in (*again, *requests)
    ]
    if not troubles:
        return results
    show_set_aside(results)
    for trouble in troubles.values():
        if not is_foreseen(trouble):
            raise trouble
    raise _at_the_end(troubles, results)


def _at_the_end(troubles: dict[str, Exception], results: list[OptOutResult]) -> Exception:
    """What a run raises once all that could be done is done."""
    if len(results) == 1 and len(troubles) == 1:
        return next(iter(troubles.values()))
    error = SetAsideError(troubles)
    error.results = results
    return error


def carry_out(requests: list[Request]) -> None:
    """Take requests to their end, each step a task."""
    with showing_progress("opt-out-progress", "Steps of the opt-out"):
        take_steps(requests, take_step)


@sift_task("opt-out step", tags=["exactness"], retries=2, run_name="{step.name}")
def take_step(requests: list[Request], step: "Step") -> None:
    """Do one step of some requests and record it."""
    _work(requests, step)


def require_fulfillable(requests: Sequence[Request]) -> None:
    """Raise UsageError for a request that ended without being fulfilled."""
    for request in requests:
        with request.workspace.lineage.reader() as reader:
            last = reader.steps(request.request_id)[-1]
        if last.step in UNFULFILLED:
            raise UsageError(
                f"{request.request_id} was {last.step}: {last.details.get('reason')}.",
                remedy="file a new request if they ask again: `sift opt-out request`.",
            )


def _result(request: Request, trouble: Exception | None) -> OptOutResult:
    """How a request ended; what is to be seen of it in Prefect is shown."""
    if trouble is None:
        return _publish(request)
    facts, remedy = in_words(trouble)
    return OptOutResult(
        request_id=request.request_id,
        contributor_key=request.key,
        records=_records(request),
        set_aside=SetAside(step=request.next_step(), reason=facts, remedy=remedy),
    )


def _records(request: Request) -> int | None:
    records = request.record.records
    return None if records is None else len(records)


def _publish(request: Request) -> OptOutResult:
    workspace, report = request.workspace, read_report(request.workspace, request.request_id)
    show_destroyed(report.destroyed, request.request_id)
    if report.verification is not None:
        show_exactness(report.verification)
    if report.quality is not None:
        show_before_and_after(report.quality)
    show_summary(
        "opt-out-summary",
        [
            f"# {request.request_id}",
            f"Contributor `{report.contributor_key}`, {_scope(report.records)}, basis "
            f"{report.basis}.",
            "",
            report_line(workspace, request.request_id, report.registered),
            "",
            "| step | done at |",
            "| --- | --- |",
            *(f"| {moment.step} | {moment.at:%Y-%m-%dT%H:%M:%SZ} |" for moment in report.timeline),
        ],
        "What this opt-out did",
    )
    return OptOutResult(
        request_id=request.request_id,
        report=workspace.reports / request.request_id / "report.html",
        version=report.registered.version if report.registered else None,
        contributor_key=report.contributor_key,
        removal=report.removal,
        quality=report.quality,
        destroyed=len(report.destroyed),
        records=report.records,
    )


def _scope(records: int | None) -> str:
    return "with all data" if records is None else f"{records} of their records"
