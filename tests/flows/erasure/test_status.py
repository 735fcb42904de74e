"""Between `removed` and `registered` the champion still serves who left, and every look says so."""

from collections.abc import Callable

import pytest

from flows.erasure.status import StillServedError, still_served
from flows.erasure.steps import STEPS
from flows.operations.doctor.checks import examine
from flows.workspace.workspace import Workspace
from lineage import opt_out
from tests.support.kept import LEAVER
from tests.support.prefect_runs import deadlines_by_flow
from tests.support.sift import Ended, Sift
from tests.support.workspaces import record, request, reviews

FACTS = "The champion, version 1, still serves what opt-out-0001 removed."
NEXT = "sift opt-out run opt-out-0001"
FROM, UNTIL = opt_out.STEPS.index("removed"), opt_out.STEPS.index("registered")

Look = Callable[[Sift, Workspace], str]


def _line(ended: Ended) -> str:
    """What a command said, without the breaks that the width of a terminal makes."""
    return " ".join(f"{ended.out} {ended.err}".split())


def _status(sift: Sift, workspace: Workspace) -> str:
    return _line(sift("status", "-w", workspace.root))


def _requests(sift: Sift, workspace: Workspace) -> str:
    return _line(sift("opt-out", "status", "-w", workspace.root))


def _check(sift: Sift, workspace: Workspace) -> str:
    ended = sift("opt-out", "status", "--check", "--json", "-w", workspace.root)
    assert (ended.code, ended.json[0]["still_served_by"]) in ((0, None), (1, 1))
    return ended.err


def _doctor(_sift: Sift, workspace: Workspace) -> str:
    found = [one for one in examine(workspace) if one.check == "leftovers"]
    return " ".join(f"{one.found} {one.remedy}" for one in found if one.status == "failed")


def _deadlines(_sift: Sift, workspace: Workspace) -> str:
    try:
        deadlines_by_flow(workspace)
    except StillServedError as error:
        return str(error)
    return ""


LOOKS: list[Look] = [_status, _requests, _check, _doctor, _deadlines]


@pytest.mark.parametrize(
    "of", [pytest.param(name, marks=pytest.mark.slow) for name in ("all data", "some records")]
)
def test_a_champion_that_serves_who_was_removed_is_said_by_every_look_with_the_way_out(
    with_vectors: Workspace,
    sift: Sift,
    of: str,
) -> None:
    workspace = with_vectors
    rows = [record(workspace, row) for row in reviews(LEAVER)[:3]] if of == "some records" else None
    leaving = [request(workspace, LEAVER, records=rows)]

    for number, step in enumerate(opt_out.STEPS[: UNTIL + 1]):
        if step != "received":
            STEPS[step].work(leaving)
        served = {"opt-out-0001": 1} if FROM <= number < UNTIL else {}
        assert still_served(workspace) == served, step
        for look in LOOKS if number in (FROM, UNTIL) else ():
            said = look(sift, workspace)
            assert (FACTS in said, NEXT in said) == (bool(served), bool(served)), (step, said)
