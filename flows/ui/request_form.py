"""A request filed from the Prefect UI, and Prefect made to forget what its form said.

Prefect stores the parameters of a run for good. As soon as they are read they are replaced by the
numbers of the requests that came of them: a name or an id that somebody typed by mistake does not
stay, and a run that is tried again goes on with the request that it filed.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from flows.erasure.filing import receive_by_key
from flows.errors import UsageError
from flows.integrations.prefect.database import rewrite_prefect_store
from flows.ui.forms import AS_THE_BASIS_SAYS, OptOutForm
from flows.ui.tasks import is_watched
from flows.workspace.prefect_home import prefect_home
from flows.workspace.texts import login_name
from flows.workspace.times import begin_of, zone
from flows.workspace.workspace import Workspace


def take_in(workspace: Workspace, said: OptOutForm | Mapping[str, Any]) -> OptOutForm:
    """What is left to do of a form: the requests that it names, and the one that it files.

    Raises UsageError for what is no such form, and for a request that cannot be
    filed; then Prefect has forgotten what was said.
    """
    left = OptOutForm()
    try:
        form = _checked(said)
        left = OptOutForm(requests=form.requests, ask_for_approval=form.ask_for_approval)
        if form.contributor_key:
            filed = [*form.requests, _file(workspace, form)]
            left = left.model_copy(update={"requests": filed})
    except BaseException:
        replace_form(left)
        if is_watched():  # what was refused may have held an id: no free page of the store keeps it
            rewrite_prefect_store(prefect_home(workspace.root))
        raise
    if left != form:
        replace_form(left)
    return left


def _checked(said: OptOutForm | Mapping[str, Any]) -> OptOutForm:
    """The form, also where Prefect was told not to validate it; an error repeats none of it."""
    try:
        return OptOutForm.model_validate(said)
    except ValidationError as error:
        wrong = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
        known = sorted(wrong & set(OptOutForm.model_fields)) or ["fields"]
        raise UsageError(
            f"The form's {', '.join(known)} cannot be taken.",
            remedy="start a run with the form as it is, and leave `Validate parameters` on.",
        ) from None


def replace_form(form: OptOutForm) -> None:
    """Let this run have had another form, in Prefect's store; where no run is, none is stored."""
    if not is_watched():
        return
    from prefect.client.orchestration import get_client
    from prefect.runtime import flow_run

    parameters = {"form": form.model_dump(mode="json")}
    with get_client(sync_client=True) as client:
        response = client.update_flow_run(UUID(flow_run.get_id()), parameters=parameters)
    response.raise_for_status()


def _file(workspace: Workspace, form: OptOutForm) -> str:
    """File the request, or find the one that a killed run has filed."""
    records = form.records or None
    day, time_zone = form.received_on, zone(workspace.settings.policy.time_zone)
    with workspace.lineage.reader() as reader:
        for request in reader.process.standing_requests(form.contributor_key):
            same = sorted(request.records or ()) == sorted(form.records)
            if same and reader.next_step(request.request_id) is not None:
                return request.request_id
    return receive_by_key(
        workspace,
        form.contributor_key,
        form.basis,
        records,
        jurisdiction=None if form.law == AS_THE_BASIS_SAYS else form.law,
        filed_by=form.filed_by.strip() or login_name(),
        received_at=None if day is None else begin_of(day, time_zone),
    ).request_id
