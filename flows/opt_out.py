"""The `opt_out` flow: requests through their steps, from wherever each stands to its end.

The order of the steps is lineage's (`lineage.opt_out.STEPS`); here each gets its work. Requests
take a step together, so however many leave, there is one new merge state and one model version.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prefect import flow

from flows.erasure.approvals import obstacle, permit, ready, record_approval, require_permission
from flows.erasure.catch_up import carry_out_again
from flows.erasure.purge import purge
from flows.erasure.removal import Removal, identify, remove
from flows.erasure.renewal import evaluate, register_new, verify
from flows.erasure.requests import open_requests
from flows.erasure.set_aside import SetAsideError, in_words, is_foreseen, setting_aside
from flows.errors import UsageError
from flows.evidence.certify import end_request
from flows.evidence.report_contents import read_report
from flows.progress import tracked
from flows.ui.approval_form import ask_until_decided
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
from flows.ui.tasks import run_name, sift_task
from flows.workspace.here import here
from flows.workspace.keyring import require_signing_key
from flows.workspace.run_status import noted
from flows.workspace.workspace import Workspace
from lineage import opt_out as steps


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
    removal: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    destroyed: int = 0
    set_aside: SetAside | None = None
    """None: it has ended, and the others say how."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _approve(removals: Sequence[Removal]) -> None:
    with setting_aside() as aside:
        for removal in aside.each(removals, permit):
            record_approval(removal)


def _remove(removals: Sequence[Removal]) -> None:
    # Time may have passed since the approval was recorded: a hold, another policy.
    with setting_aside() as aside:
        if permitted := list(aside.each(removals, permit)):
            remove(permitted)


def _report(removals: Sequence[Removal]) -> None:
    # Written before their step is recorded, and list it: a report that exists is whole.
    with setting_aside() as aside:
        aside.each(removals, _end)


def _end(removal: Removal) -> None:
    ended = end_request(removal.workspace, removal.request_id)
    details = {
        "folder": f"reports/{removal.request_id}",
        "certificate": ended.sha256,
        "sequence": ended.sequence,
    }
    removal.done("reported", details, ended.at)


WORK: dict[str, Callable[[Sequence[Removal]], None]] = {
    "identified": identify,
    "approved": _approve,
    "removed": _remove,
    "verified": verify,
    "evaluated": evaluate,
    "registered": register_new,
    "purged": purge,
    "reported": _report,
}


def take_steps(
    removals: Sequence[Removal], take: Callable[[list[Removal], str], None] | None = None
) -> None:
    """Take all requests to their end; each joins the others at the step it stands before.

    `take` does one step of some requests: the work itself, or a task around it. A request that
    cannot take a step is set aside, and the others go on: SetAsideError is raised once they have
    ended, and at once what concerns all.
    """
    troubles: dict[str, Exception] = {}
    joins = {removal: steps.STEPS.index(step) for removal, step in _upcoming(removals).items()}
    first = min(joins.values(), default=len(steps.STEPS))
    remaining = steps.STEPS[first:]
    for number, step in enumerate(tracked("Opting out", remaining, len(remaining)), start=first):
        going = [removal for removal in joins if removal.request_id not in troubles]
        if together := [removal for removal in going if joins[removal] <= number]:
            try:
                (take or _work)(together, step)
            except SetAsideError as error:
                troubles |= error.troubles
    if troubles:
        raise SetAsideError(troubles)


def _work(removals: list[Removal], step: str) -> None:
    # A task that is tried again has done it for some; others may have been rejected.
    removals = [removal for removal, upcoming in _upcoming(removals).items() if upcoming == step]
    requests = [removal.request_id for removal in removals]
    if removals:
        with observed(removals[0].workspace, f"opt_out.{step}", requests):
            WORK[step](removals)


def _upcoming(removals: Sequence[Removal]) -> dict[Removal, str]:
    """The first step that is not done, of each request that has not ended."""
    if not removals:
        return {}
    with removals[0].workspace.lineage.reader() as reader:
        found = {removal: reader.next_step(removal.request_id) for removal in removals}
    return {removal: step for removal, step in found.items() if step is not None}


@flow(
    name="opt-out",
    flow_run_name=lambda: run_name("opt-out"),
    persist_result=False,
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
    place = here()
    form = take_in(place, form)
    if form.ask_for_approval:
        return honour(place, ask_until_decided(place, form.requests or open_requests(place)))
    if not form.requests:
        return honour(place, ready(place))
    removals = [Removal(place, name) for name in form.requests]
    require_fulfillable(removals)
    require_permission(place, [r.request_id for r in removals if r.next_step() is not None])
    return honour(place, form.requests)


@flow(name="process-requests", flow_run_name=lambda: run_name("requests"), persist_result=False)
def process_requests(form: ProcessForm = ProcessForm()) -> list[OptOutResult]:  # noqa: B008  as above
    """Honour every request that is approved and on no hold; show what the others wait for.

    Fails, after all that could be done, where one was set aside: so an automation tells somebody.
    """
    place = here()
    waiting = {name: obstacle(place, name) for name in open_requests(place)}
    able = [name for name, why in waiting.items() if why is None][: form.at_most]
    show_open_requests(waiting, able)
    return [] if form.only_show or not able else honour(place, able)


def honour(place: Workspace, request_ids: Sequence[str]) -> list[OptOutResult]:
    """Take requests to their end, within a flow run; first those a restored backup has undone.

    One that cannot go on, also because it is on hold since a moment ago, is set aside; the others
    end. Raises SetAsideError then, with the results of all; of a run with one request, what that
    ran into.
    """
    removals = [Removal(place, name) for name in request_ids]
    require_fulfillable(removals)
    require_signing_key(place.root)
    troubles: dict[str, Exception] = {}
    again: list[Removal] = []
    try:
        with place.lock(), noted(place, "opt-out"), setting_aside() as aside:
            again = carry_out_again(place, carry_out, aside)
            carry_out(removals)
    except SetAsideError as error:
        troubles = error.troubles
    results = [
        _result(removal, troubles.get(removal.request_id)) for removal in (*again, *removals)
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


def carry_out(removals: list[Removal]) -> None:
    """Take requests to their end, each step a task."""
    with showing_progress("opt-out-progress", "Steps of the opt-out"):
        take_steps(removals, take_step)


@sift_task("opt-out step", tags=["exactness"], retries=2, run_name="{step}")
def take_step(removals: list[Removal], step: str) -> None:
    """Do one step of some requests and record it."""
    _work(removals, step)


def require_fulfillable(removals: Sequence[Removal]) -> None:
    """Raise UsageError for a request that ended without being fulfilled."""
    for removal in removals:
        with removal.workspace.lineage.reader() as reader:
            last = reader.steps(removal.request_id)[-1]
        if last.step in steps.UNFULFILLED:
            raise UsageError(
                f"{removal.request_id} was {last.step}: {last.details.get('reason')}.",
                remedy="file a new request if they ask again: `sift opt-out request`.",
            )


def _result(removal: Removal, trouble: Exception | None) -> OptOutResult:
    """How a request ended; what is to be seen of it in Prefect is shown."""
    if trouble is None:
        return _publish(removal)
    facts, remedy = in_words(trouble)
    return OptOutResult(
        request_id=removal.request_id,
        contributor_key=removal.key,
        records=_records(removal),
        set_aside=SetAside(step=removal.next_step(), reason=facts, remedy=remedy),
    )


def _records(removal: Removal) -> int | None:
    records = removal.request.records
    return None if records is None else len(records)


def _publish(removal: Removal) -> OptOutResult:
    place, report = removal.workspace, read_report(removal.workspace, removal.request_id)
    folder = place.reports / removal.request_id
    show_destroyed(report["destroyed"], removal.request_id)
    with place.lineage.reader() as reader:
        details = {step.step: step.details for step in reader.steps(removal.request_id)}
    if "checks" in details["verified"]:
        show_exactness(details["verified"])
    show_before_and_after(report["quality"] or {})
    show_summary(
        "opt-out-summary",
        [
            f"# {removal.request_id}",
            f"Contributor `{report['contributor_key']}`, {_scope(report['records'])}, basis "
            f"{report['basis']}.",
            "",
            report_line(place, removal.request_id, report["registered"]),
            "",
            "| step | done at |",
            "| --- | --- |",
            *(f"| {moment['step']} | {moment['at']} |" for moment in report["timeline"]),
        ],
        "What this opt-out did",
    )
    return OptOutResult(
        request_id=removal.request_id,
        report=folder / "report.html",
        version=(report["registered"] or {}).get("version"),
        contributor_key=report["contributor_key"],
        removal=report["removal"],
        quality=report["quality"] or {},
        destroyed=len(report["destroyed"]),
        records=report["records"],
    )


def _scope(records: int | None) -> str:
    return "with all data" if records is None else f"{records} of their records"
