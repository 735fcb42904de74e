"""What people do with a request, on a workspace where nothing is built: decisions and refusals."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.data.readmission import WithdrawnRecordsError
from flows.erasure.approvals import (
    NotApprovedError,
    OnHoldError,
    approve,
    obstacle,
    place_hold,
    reject,
    release_hold,
    require_permission,
)
from flows.erasure.deadlines import DeadlineError, due, require_on_time
from flows.erasure.filing import acknowledge, extend, receive
from flows.erasure.status import request_statuses
from flows.errors import UsageError
from flows.workspace.texts import require_nameless
from flows.workspace.workspace import Workspace
from lineage import LineageConflictError, OptOutOrderError
from tests.support.traces import traces
from tests.support.workspaces import (
    BASIS,
    CLERK,
    OFFICER,
    add,
    change,
    opt_out_plainly,
    record,
    reviews,
)

WHY = "identity proven"


def file(workspace: Workspace, who: str = "ann", basis: str = BASIS, days_ago: float = 0) -> str:
    received = datetime.now(UTC) - timedelta(days=days_ago)
    return receive(workspace, who, basis, filed_by=CLERK, received_at=received).request_id


def policy(workspace: Workspace, old: str, new: str) -> Workspace:
    return change(workspace, old, new)


def test_approval_identifies_first_and_counts_at_once(fresh: Workspace) -> None:
    name = file(fresh)
    assert isinstance(obstacle(fresh, name), NotApprovedError)
    with pytest.raises(NotApprovedError, match="waits for the approval of 1 person"):
        opt_out_plainly(fresh.root, name)

    assert approve(fresh, name, OFFICER, WHY) == 0

    assert obstacle(fresh, name) is None
    (row,) = request_statuses(fresh, name)
    assert [step.step for step in row.steps] == ["received", "identified", "approved"]
    assert row.steps[-1].details == {"approved_by": [OFFICER]}
    assert approve(fresh, name, OFFICER, "again") == 0
    assert len(request_statuses(fresh, name)[0].approvals) == 1


def test_two_persons_approve_and_neither_filed_the_request(fresh: Workspace) -> None:
    workspace = policy(fresh, "persons: 1", "persons: 2")
    name = file(workspace)
    with pytest.raises(UsageError, match="filed the request"):
        approve(workspace, name, CLERK.upper(), WHY)
    assert approve(workspace, name, OFFICER, WHY) == 1
    assert approve(workspace, name, f" {OFFICER.title()} ", WHY) == 1
    with pytest.raises(NotApprovedError, match="1 more person"):
        require_permission(workspace, [name])
    assert approve(workspace, name, "counsel", WHY) == 0
    require_permission(workspace, [name])


def test_an_approval_counts_while_the_policy_of_the_day_says_so(fresh: Workspace) -> None:
    name = file(fresh)
    approve(fresh, name, OFFICER, WHY)
    stricter = policy(fresh, "approvers: []", "approvers: [counsel]")
    with pytest.raises(NotApprovedError):
        opt_out_plainly(stricter.root, name)
    with pytest.raises(UsageError, match="not among those who may approve"):
        approve(stricter, name, OFFICER, WHY)
    assert approve(stricter, name, "Counsel", WHY) == 0
    require_permission(stricter, [name])


def test_a_rejected_request_ends_and_binds_nobody(fresh: Workspace) -> None:
    name = file(fresh)
    with pytest.raises(UsageError, match="opted out"):
        add(fresh, reviews("ann"))
    reject(fresh, name, OFFICER, "not the person")

    (row,) = request_statuses(fresh, name)
    assert (row.state, row.next_step) == ("rejected", None)
    assert row.kept_until is not None
    assert [one.state for one in row.deadlines] == ["met"]
    with pytest.raises(OptOutOrderError, match="has ended"):
        approve(fresh, name, OFFICER, WHY)
    add(fresh, reviews("ann"))
    assert file(fresh) == "opt-out-0002"


def test_nothing_on_hold_is_run_and_deadlines_run_on(fresh: Workspace) -> None:
    name = file(fresh)
    key = fresh.key_of("ann")
    place_hold(fresh, key, "counsel", "case 7")
    with pytest.raises(LineageConflictError, match="on hold"):
        place_hold(fresh, key, "counsel", "case 8")
    approve(fresh, name, OFFICER, WHY)
    with pytest.raises(OnHoldError, match="placed by counsel: case 7"):
        opt_out_plainly(fresh.root, name)
    (row,) = request_statuses(fresh, name)
    assert row.state == "on hold"
    assert [one.state for one in row.deadlines] == ["open"]

    release_hold(fresh, key, "counsel", "case closed")
    require_permission(fresh, [name])
    assert request_statuses(fresh, name)[0].state == "approved"


def test_the_clock_starts_at_receipt_and_alarms_in_time(fresh: Workspace) -> None:
    late, near = file(fresh, "ann", days_ago=40), file(fresh, "bob", "ccpa-1798.105", days_ago=41)
    rows = {(row.request_id, row.kind): row for row in due(fresh)}
    assert rows[late, "answer"].state == "overdue"
    assert rows[near, "acknowledge"].state == "overdue"
    assert (rows[near, "answer"].state, rows[near, "answer"].days_left) == ("due soon", 4)
    with pytest.raises(DeadlineError, match="3 deadlines overdue or due soon"):
        require_on_time(list(rows.values()))

    acknowledge(fresh, near, OFFICER, "by e-mail")
    assert extend(fresh, near, OFFICER, "many requests").date() > datetime.now(UTC).date()
    with pytest.raises(UsageError, match="can no longer be put off"):
        extend(fresh, late, OFFICER, "many requests")
    with pytest.raises(UsageError, match="was put off already"):
        extend(fresh, near, OFFICER, "more requests")
    reject(fresh, late, OFFICER, "not the person")

    states = {(row.request_id, row.kind): row.state for row in due(fresh)}
    assert states == {
        (late, "answer"): "late",
        (near, "acknowledge"): "late",
        (near, "extended answer"): "open",
    }
    require_on_time(due(fresh))


@pytest.mark.slow
def test_who_opted_out_comes_back_by_new_consent_alone(fresh: Workspace) -> None:
    name = file(fresh)
    with pytest.raises(UsageError, match=f"not done: {name}"):
        file(fresh)
    approve(fresh, name, OFFICER, WHY)
    with pytest.raises(UsageError, match="is not done"):
        add(fresh, reviews("ann"), rejoin="form 12")
    opt_out_plainly(fresh.root, name)
    with pytest.raises(UsageError, match=f"opted out already: {name}"):
        file(fresh)
    key = fresh.key_of("ann")
    with pytest.raises(UsageError, match="--rejoin"):
        add(fresh, reviews("ann"))
    with pytest.raises(UsageError, match="names a contributor"):
        add(fresh, reviews("ann"), rejoin="signed by Ann")
    with pytest.raises(UsageError, match="Nobody in these files"):
        add(fresh, reviews("cyd"), rejoin="form 12")

    add(fresh, reviews("ann"), rejoin="form 12")

    with fresh.lineage.reader() as reader:
        assert [row.reference for row in reader.process.consents(key)] == ["form 12"]
        assert reader.contributor(key).external_id == "ann"
        assert key in {row.contributor_key for row in reader.current_datasets()}
        assert all(row.absent_at for row in reader.purge_objects(name))
        assert reader.sql("SELECT * FROM orphans").rows == ()
    with pytest.raises(UsageError, match="came back by new consent"):
        file(fresh, days_ago=1)
    again = file(fresh)
    approve(fresh, again, OFFICER, WHY)
    opt_out_plainly(fresh.root, again)
    assert again == "opt-out-0002"
    assert traces(fresh.root, {"text": reviews("ann")[0]["text"].encode()}) == {}


def test_a_withdrawn_record_stays_out_without_the_contributor_having_left(
    fresh: Workspace,
) -> None:
    rows = reviews("ann")
    receive(fresh, "ann", BASIS, [record(fresh, rows[0])], filed_by=CLERK)
    with pytest.raises(WithdrawnRecordsError):
        add(fresh, rows, replace=True)
    with pytest.raises(UsageError):
        add(fresh, rows, rejoin="form 12")


@pytest.mark.parametrize(
    ("text", "name", "refused"),
    [
        ("asked by Ann.", "ann", True),
        ("ann@example.org wrote", "ann@example.org", True),
        ("Jürgen asked", "Ju\u0308rgen", True),
        ("an answer was given", "ann", False),
        ("announced", "ann", False),
        ("gdpr-art-17", "17", False),
        ("for customer 17", "17", True),
    ],
)
def test_a_text_that_is_kept_names_no_contributor(text: str, name: str, refused: bool) -> None:
    if refused:
        with pytest.raises(UsageError, match="names a contributor"):
            require_nameless([name], text)
    else:
        require_nameless([name], text)


@given(name=st.text("abz0.@ -", min_size=1, max_size=12).filter(lambda text: text == text.strip()))
def test_an_id_between_spaces_is_always_found(name: str) -> None:
    if name[0] == "-":
        return
    with pytest.raises(UsageError):
        require_nameless([name], None, f"told to {name} today")
