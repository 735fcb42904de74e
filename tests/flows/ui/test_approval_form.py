"""The form of a paused run, answered as the Prefect UI answers it."""

import threading
import time
from contextvars import copy_context
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectHTTPStatusError

from flows.erasure.deadlines import DeadlineError
from flows.erasure.filing import receive
from flows.erasure.status import request_statuses
from flows.ui import approval_form
from flows.workspace.workspace import Workspace
from tests.support.prefect_runs import deadlines_by_flow, opt_out_by_flow
from tests.support.workspaces import BASIS, CLERK

REFUSED = {"decision": "approve", "name": "stranger", "reason": "I may"}
REJECTED = {"decision": "reject", "name": "Jo Counsel", "reason": "not the person"}
APPROVED = {"decision": "approve", "name": "Jo Counsel", "reason": "identity proven"}


def question(client: SyncPrefectClient, asked: set[str]) -> tuple[FlowRun, str] | None:
    """A paused run whose form nobody has answered yet, and what the form says."""
    paused = FlowRunFilter.model_validate({"state": {"type": {"any_": ["PAUSED"]}}})
    for run in client.read_flow_runs(
        flow_run_filter=paused, sort=FlowRunSort.START_TIME_DESC, limit=10
    ):
        keys = run.state.state_details.run_input_keyset if run.state else None
        if not keys or keys["description"] in asked:
            continue
        try:
            said = client._client.get(f"/flow_runs/{run.id}/input/{keys['description']}")
        except PrefectHTTPStatusError as error:
            if error.response.status_code == 404:  # it is paused a moment before its form is there
                continue
            raise
        asked.add(keys["description"])
        return run, said.text
    return None


def answer(answers: list[dict[str, Any]], shown: list[str]) -> None:
    """Give each form its answer; note what it said."""
    asked: set[str] = set()
    until = time.monotonic() + 180
    with get_client(sync_client=True) as client:
        for each in answers:
            while (found := question(client, asked)) is None and time.monotonic() < until:
                time.sleep(0.2)
            assert found is not None
            shown.append(found[1])
            resumed = client.resume_flow_run(found[0].id, run_input=each)
            assert resumed.status == SetStateStatus.ACCEPT, resumed


def test_a_form_writes_what_the_command_writes_and_is_shown_again_where_it_does_not_count(
    fresh: Workspace, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval_form, "POLL_SECONDS", 1)
    monkeypatch.setattr(approval_form, "WAIT_SECONDS", 180)
    params = fresh.root / "params.yaml"
    params.write_text(params.read_text().replace("approvers: []", "approvers: [Jo Counsel]"))
    names = [receive(fresh, who, BASIS, filed_by=CLERK).request_id for who in ("ann", "bob")]
    shown: list[str] = []
    # The settings of the test's server are in the context, which a thread does not inherit.
    here = copy_context()
    answers = [REFUSED, REJECTED, APPROVED]
    person = threading.Thread(target=here.run, args=(answer, answers, shown))
    person.start()

    results = opt_out_by_flow(fresh, *names, ask=True)

    person.join()
    assert [result.request_id for result in results] == names[1:]
    rejected, honoured = request_statuses(fresh)
    assert (rejected.state, honoured.state) == ("rejected", "reported")
    assert [(row.decision, row.actor, row.reason) for row in honoured.approvals] == [
        ("approved", "Jo Counsel", "identity proven")
    ]
    assert [row.decision for row in rejected.approvals] == ["rejected"]
    assert "not among those who may approve" in shown[1]
    assert all("cannot be undone" in text for text in (shown[0], shown[2]))


def test_the_deadlines_flow_shows_its_table_and_fails_where_somebody_must_act(
    fresh: Workspace, prefect_server: None
) -> None:
    assert deadlines_by_flow(fresh) == []
    params = fresh.root / "params.yaml"
    receive(fresh, "ann", BASIS, filed_by=CLERK)
    params.write_text(params.read_text().replace("due_soon_days: 7", "due_soon_days: 60"))

    with pytest.raises(DeadlineError, match="answer opt-out-0001"):
        deadlines_by_flow(fresh)

    with get_client(sync_client=True) as client:
        found = client._client.post("/artifacts/latest/filter", json={}).json()
    assert any(row["key"] == "deadlines" and "due soon" in row["data"] for row in found)
