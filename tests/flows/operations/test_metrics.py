"""The numbers for a dashboard: OpenMetrics that its own library reads, and no id in it."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from flows.erasure.filing import receive
from flows.operations.metrics import exposition
from flows.workspace.run_status import last, noted
from flows.workspace.workspace import Workspace
from tests.support.sift import Sift
from tests.support.workspaces import request

Samples = dict[tuple[str, str], float]


def samples(text: str) -> Samples:
    """Sample and its label → value."""
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.type != "info"
    }


def test_requests_deadlines_and_members_are_counted(
    fresh: Workspace,
    sift: Sift,
) -> None:
    request(fresh, "ann")
    receive(fresh, "bob", "ccpa-1798.105", received_at=datetime.now(UTC) - timedelta(days=50))
    with noted(fresh, "build"):
        pass
    with pytest.raises(ValueError, match="broken"), noted(fresh, "audit"):
        raise ValueError("broken")

    text = sift("status", "--metrics", "-w", fresh.root).out

    assert text.endswith("# EOF\n")
    found = samples(text)
    assert found["sift_contributors", ""] == 2 and found["sift_members", ""] == 0
    assert found["sift_requests", "approved"] == 1 and found["sift_requests", "received"] == 1
    assert found["sift_deadlines_overdue", ""] == 2  # to acknowledge, and to answer
    assert found["sift_deadline_days", ""] < 0
    assert found["sift_last_run_passed", "build"] == 1
    assert found["sift_last_run_passed", "audit"] == 0
    assert ("sift_last_run_passed", "opt-out") not in found
    assert found["sift_store_bytes", "data"] == sum(
        path.stat().st_size for path in fresh.data.iterdir()
    )
    for name in ("ann", "bob"):
        assert fresh.key_of(name) not in text and name not in text


def test_where_departures_cannot_be_read_everything_else_is_shown(
    fresh: Workspace,
    sift: Sift,
) -> None:
    params = fresh.root / "params.yaml"
    params.write_text(params.read_text().replace("  ledger:", "  ledger: /nowhere/at/all #"))

    found = samples(sift("status", "--metrics", "-w", fresh.root).out)
    shown = sift("status", "--json", "-w", fresh.root).json

    assert found["sift_contributors", ""] == 2 and ("sift_brought_back", "") not in found
    assert "/nowhere/at/all is away" in shown["who left is not known"]


def test_a_workspace_without_anything_has_no_deadline(fresh: Workspace) -> None:
    found = samples(exposition(fresh))
    assert not [name for name, _ in found if name == "sift_deadline_days"]
    assert last(fresh, "build") is None
