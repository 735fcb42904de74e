"""Asking for approval in the Prefect UI: the flow run pauses with a form.

The form writes the row that `sift opt-out approve` writes, and what the run then goes by is that
row. Prefect's own state is not believed: a paused run that is retried does not ask again (its issue
12279), and a suspended one can go on (20388).
"""

from collections.abc import Sequence
from typing import Literal
from uuid import uuid4

from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput, delete_flow_run_input
from pydantic import Field

from flows.erasure.approvals import NotApprovedError, approve, obstacle, reject
from flows.erasure.deadlines import due
from flows.erasure.plan import plan
from flows.errors import FlowError, UsageError
from flows.integrations.prefect.database import rewrite_prefect_store
from flows.ui.tasks import is_watched
from flows.workspace.prefect_home import prefect_home
from flows.workspace.texts import MAX_NAME_LENGTH, MAX_REASON_LENGTH
from flows.workspace.times import shown, zone
from flows.workspace.workspace import Workspace
from lineage import LineageError

WAIT_SECONDS = 7 * 24 * 3600
"""A run that nobody answers for a week fails; the request stays as it is."""
POLL_SECONDS = 5


class ApprovalForm(RunInput):
    """What the person at the form says."""

    decision: Literal["approve", "reject"] = Field(
        description="Reject ends the request; nothing of the contributor changes then."
    )
    name: str = Field(
        title="Your name",
        description="As the policy in params.yaml has it. Never that of the contributor.",
        min_length=1,
        max_length=MAX_NAME_LENGTH,
    )
    reason: str = Field(
        description="Why, such as: identity proven, no duty to keep. Kept with the record.",
        min_length=1,
        max_length=MAX_REASON_LENGTH,
    )


def ask_until_decided(workspace: Workspace, request_ids: Sequence[str]) -> list[str]:
    """Pause for each request until it is approved or rejected; those that may run.

    A form whose answer does not count (a person who may not approve, no reason) is shown again
    with the reason. Requests on legal hold are passed over. Raises UsageError outside of a flow
    run, where somebody would have to be asked: there is no page to ask on.
    """
    for request_id in request_ids:
        complaint = ""
        while isinstance(waiting := _open_obstacle(workspace, request_id), NotApprovedError):
            _require_page(waiting)
            form = pause_flow_run(
                wait_for_input=ApprovalForm.with_initial_data(
                    description=_description(workspace, request_id, waiting, complaint)
                ),
                timeout=WAIT_SECONDS,
                poll_interval=POLL_SECONDS,
                # A new key each time: with an old one Prefect would take the old answer.
                key=uuid4().hex,
            )
            complaint = _decide(workspace, request_id, form)
            _forget(workspace, form, refused=bool(complaint))
    with workspace.lineage.reader() as reader:
        unfinished = [name for name in request_ids if reader.next_step(name) is not None]
    return [name for name in unfinished if obstacle(workspace, name) is None]


def _require_page(waiting: FlowError) -> None:
    if not is_watched():
        raise UsageError(
            f"{waiting.facts} No Prefect server shows a form to approve it in.",
            remedy=f"{waiting.remedy} Or start a server with `sift up`.",
        )


def _open_obstacle(workspace: Workspace, request_id: str) -> FlowError | None:
    with workspace.lineage.reader() as reader:
        ended = reader.next_step(request_id) is None
    return None if ended else obstacle(workspace, request_id)


def _decide(workspace: Workspace, request_id: str, form: ApprovalForm) -> str:
    """Record what the form says; what is wrong with it, or nothing."""
    decide = approve if form.decision == "approve" else reject
    try:
        decide(workspace, request_id, form.name, form.reason)
    except (FlowError, LineageError) as error:
        return str(error)
    return ""


def _forget(workspace: Workspace, form: ApprovalForm, *, refused: bool) -> None:
    """Lineage has the answer; Prefect's store, which is never erased, need not have it too.

    What was refused may have named the contributor: no free page of the database keeps it.
    """
    delete_flow_run_input(form.metadata.key)
    if refused:
        rewrite_prefect_store(prefect_home(workspace.root))


def _description(workspace: Workspace, request_id: str, waiting: FlowError, complaint: str) -> str:
    """What the form says: what is about to be destroyed, and what was wrong with an answer."""
    found = plan(workspace, request_id)
    with workspace.lineage.reader() as reader:
        request = reader.request(request_id)
    time_zone = zone(workspace.settings.policy.time_zone)
    places = sorted({one.place for one in found.objects})
    lines = [
        f"**{complaint}**" if complaint else waiting.facts,
        f"Contributor `{found.contributor_key}`, received {shown(request.received_at, time_zone)}, "
        f"{request.jurisdiction or 'no jurisdiction recorded'}.",
        *(f"{row.kind}: due by {row.by}, {row.state}." for row in due(workspace, request_id)),
        *(
            f"Its id looks like that of `{row.contributor_key}`, who is not part of this request."
            for row in found.look_alikes
            if row.external_id is not None and not row.two_people
        ),
        f"Approving destroys {len(found.objects)} objects, {found.bytes} bytes, in "
        f"{', '.join(places) or 'no time_zone'}. This cannot be undone. Object by object: "
        f"`sift opt-out plan {request_id}`.",
    ]
    return "\n\n".join(lines)
