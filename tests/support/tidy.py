"""What a workspace is like once work that was killed has been done again."""

from flows.audit import look
from flows.evidence.audit_checks import CHECKS
from flows.evidence.inventory import Stock
from flows.evidence.verification import verify
from flows.workspace.current_state import current_state
from flows.workspace.workspace import UNFINISHED, Workspace
from tests.support.traces import traces
from tests.support.workspaces import CONTRIBUTORS, marker, merge_bytes

LEAVING = CONTRIBUTORS[4]


def require_tidy(workspace: Workspace, versions: list[int]) -> None:
    """Every store agrees with every other, and no killed process has left anything."""
    state = current_state(workspace)
    assert verify(workspace).passed
    assert [path.stem for path in workspace.merge.iterdir()] == [state.state_sha256]
    assert list(workspace.temporary.iterdir()) == []
    assert [path for path in workspace.root.rglob(UNFINISHED) if ".dvc" not in path.parts] == []
    assert workspace.mlflow.reading.versions() == versions
    assert workspace.mlflow.destruction.leftovers() == []
    with workspace.lineage.reader() as reader:
        recorded = reader.model_versions()
        assert reader.sql("SELECT * FROM orphans").rows == ()
    assert [row.version for row in recorded if row.destroyed_at is None] == versions
    assert sum(row.state_seq == state.state_seq for row in recorded) == 1
    assert workspace.dvc.record.status() == {}
    assert workspace.git.is_clean()
    stock = Stock(workspace)
    checks = [look.fn(stock, name) for name in CHECKS]
    assert [finding for check in checks for finding in check.findings] == []


def require_left(workspace: Workspace, expected: bytes) -> None:
    """The opt-out ended as one that nobody killed."""
    assert merge_bytes(workspace) == expected
    require_tidy(workspace, versions=[2])
    needles = {"id": LEAVING.encode(), "text": marker(LEAVING).encode()}
    assert traces(workspace.root, needles) == {}
    with workspace.lineage.reader() as reader:
        assert reader.next_step("opt-out-0001") is None
        pending = reader.sql("SELECT * FROM purge_evidence WHERE verdict <> 'absent'").rows
    assert pending == ()
    assert sorted(path.name for path in (workspace.reports / "opt-out-0001").iterdir()) == [
        "certificate.dsse.json",
        "report.html",
        "report.json",
    ]
