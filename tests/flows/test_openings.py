"""Lineage is opened per unit of work, not per question."""

from pathlib import Path

import pytest

from lineage import unit_of_work
from tests.support.lineage_stores import openings
from tests.support.prefect_runs import build_by_flow, opt_out_by_flow
from tests.support.workspaces import CONTRIBUTORS, make_workspace, request, reviews

MOST = 20


@pytest.fixture(autouse=True)
def _any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow one more moments pass between two questions than the work asks for."""
    monkeypatch.setattr(unit_of_work, "IDLE_SECONDS", 600.0)
    monkeypatch.setattr(unit_of_work, "HELD_SECONDS", 600.0)


def test_a_build_and_an_opt_out_open_lineage_seldom(
    tmp_path: Path, tiny_classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [[row for name in CONTRIBUTORS[:6] for row in reviews(name)]]
    workspace = make_workspace(tmp_path / "workspace", tiny_classifier, rows)
    opened = openings(monkeypatch)

    build_by_flow(workspace)

    assert 0 < len(opened) <= MOST
    leaving = request(workspace, CONTRIBUTORS[1])
    opened.clear()

    opt_out_by_flow(workspace, leaving.request_id)

    assert 0 < len(opened) <= MOST
