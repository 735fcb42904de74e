"""A request from the command line: filed, looked at, decided."""

from datetime import UTC, datetime, timedelta

import pytest

from flows.cli.request_tables import _days
from flows.erasure.deadlines import DeadlineState, Due
from flows.workspace.workspace import Workspace
from tests.support.sift import Sift

DECIDED = ("--by", "Jo Counsel", "--reason", "identity proven")


def test_a_request_is_followed_from_receipt_to_its_end(fresh: Workspace, sift: Sift) -> None:
    here = ("-w", fresh.root)
    received = (datetime.now(UTC) - timedelta(days=28)).date().isoformat()
    filed = sift(
        *("opt-out", "request", "ann", "--basis", "CCPA-1798.105", "--received", received),
        *("--by", "the clerk", "--json", *here),
    ).json
    assert (filed["jurisdiction"], filed["filed_by"]) == ("ccpa", "the clerk")
    assert [row["kind"] for row in filed["deadlines"]] == ["acknowledge", "answer"]

    alarmed = sift("opt-out", "status", "--check", *here)
    assert alarmed.code == 1
    alarmed.complained("acknowledge opt-out-0001", "overdue")
    assert "to acknowledge" in alarmed.out
    assert sift("opt-out", "acknowledge", "opt-out-0001", *DECIDED, *here).code == 0
    assert sift("opt-out", "status", "--check", *here).code == 0

    sift("opt-out", "run", "opt-out-0001", *here).refused(1, "waits for the approval of 1 person")
    waiting = sift("opt-out", "run", *here)
    assert waiting.code == 0 and "sift opt-out approve opt-out-0001" in waiting.out
    planned = sift("opt-out", "plan", "opt-out-0001", "--json", *here).json
    assert [one["kind"] for one in planned["objects"]] == ["dataset"]
    assert "sift opt-out plan opt-out-0001" in sift("status", *here).out
    approved = sift("opt-out", "approve", "opt-out-0001", *DECIDED, "--json", *here).json
    assert approved["approvals_missing"] == 0

    assert sift("opt-out", "hold", "ann", *DECIDED, *here).code == 0
    sift("opt-out", "run", "opt-out-0001", *here).refused(1, "legal hold", "identity proven")
    (shown,) = sift("opt-out", "status", "opt-out-0001", "--json", *here).json
    assert (shown["state"], shown["next_step"]) == ("on hold", "removed")
    assert sift("opt-out", "release", "ann", *DECIDED, *here).code == 0
    extended = sift("opt-out", "extend", "opt-out-0001", *DECIDED, *here)
    assert "to be answered by" in extended.out

    assert sift("opt-out", "reject", "opt-out-0001", *DECIDED, *here).code == 0
    sift("opt-out", "run", "opt-out-0001", *here).refused(2, "was rejected")
    full = sift("opt-out", "status", "opt-out-0001", *here)
    assert "rejected" in full.out and "Jo Counsel" in full.out and "kept until" in full.out


@pytest.mark.parametrize(
    ("state", "days", "shown"),
    [
        ("overdue", -3, "[bold red]-3 to answer[/bold red]"),
        ("due soon", 2, "[yellow]2 to answer[/yellow]"),
        ("open", 20, "[green]20 to answer[/green]"),
        ("late", None, "[red]answer late[/red]"),
        ("met", None, "answer met"),
    ],
)
def test_days_left_have_the_colour_of_their_urgency(
    state: DeadlineState, days: int | None, shown: str
) -> None:
    row = Due("opt-out-0001", "gdpr", "extended answer", datetime.now(UTC), "UTC", days, state)
    assert _days(row) == shown
