"""With one request set aside, too: killed anywhere, run again, the others end in the same bytes."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from flows.audit import look
from flows.erasure.request import Request, open_requests
from flows.erasure.set_aside import SetAsideError
from flows.erasure.status import request_statuses
from flows.evidence.audit_checks import CHECKS
from flows.evidence.inventory import Stock
from flows.opt_out import take_steps
from flows.workspace.workspace import UNFINISHED, Workspace
from tests.support.kept import FEW, LEAVER, STAYER, Both
from tests.support.killed import Point, dies
from tests.support.traces import traces
from tests.support.trees import tree
from tests.support.workspaces import lose_rows, marker, record, request, reviews, served_sha256

TROUBLED = STAYER
"""Some of their records are to go, and their rows are lost: they cannot be finetuned again."""
LEAVERS = (FEW[0], LEAVER)

_RECORDED = "flows.erasure.request:Request.done"
# A joint step is recorded request by request: `after` the first, the second is not recorded.
POINTS = [
    Point("lineage.request_recorder:RequestRecorder.set_aside", "after"),
    Point("flows.erasure.steps.removed:make_current", "after"),
    Point(_RECORDED, "after", "verified"),
    Point(_RECORDED, "after", "evaluated"),
    Point("flows.integrations.mlflow.registration:Registration.register", "after"),
    Point(_RECORDED, "after", "registered"),
    Point("flows.erasure.steps.purged:record", "after"),
    Point("flows.erasure.targets.dvc_objects:push", "after"),
    Point("lineage.file_store:LineageStore.rewrite", "before"),
    Point(_RECORDED, "after", "purged"),
    Point(_RECORDED, "after", "reported"),
]


@pytest.mark.slow
def test_with_one_set_aside_the_others_end_the_same_however_often_it_dies(_both: Both) -> None:
    undisturbed = in_trouble(_both)
    run_all(undisturbed.root)
    expected = left_by(undisturbed)

    workspace = in_trouble(_both)
    survived = [str(point) for point in POINTS if not dies(run_all, workspace.root, point)]
    run_all(workspace.root)

    assert survived == []
    assert left_by(workspace) == expected
    require_ended(workspace)


def in_trouble(both: Both) -> Workspace:
    """Two leave, and a third cannot: the workspace before its first run."""
    workspace = both.vectors.restore()
    request(workspace, TROUBLED, records=[record(workspace, row) for row in reviews(TROUBLED)[:3]])
    for leaver in LEAVERS:
        request(workspace, leaver)
    lose_rows(workspace, TROUBLED)
    return workspace


def run_all(root: Path) -> None:
    """`sift opt-out run`: all that is open."""
    workspace = Workspace.open(root)
    with workspace.lock(), contextlib.suppress(SetAsideError):  # who was, shows in lineage
        take_steps([Request(workspace, name) for name in open_requests(workspace)])


def left_by(workspace: Workspace) -> dict[str, Any]:
    """All that a run has left and that does not tell the time."""
    folders = (
        "data",
        "vectors",
        "masks",
        "merge",
        ".sift/quarantine",
        ".dvc/cache",
        "remote/files",
    )
    stock = Stock(workspace)
    return {
        "files": {name: tree(workspace.root / name) for name in folders},
        "served": served_sha256(workspace),
        "metrics": (workspace.root / "metrics.json").read_bytes(),
        "findings": {name: look.fn(stock, name).findings for name in CHECKS},
    }


def require_ended(workspace: Workspace) -> None:
    """The others have ended, the one set aside says why, and nothing is left lying about."""
    troubled, *others = request_statuses(workspace)
    assert [row.state for row in others] == ["reported", "reported"]
    assert (troubled.state, troubled.next_step) == ("set aside", "removed")
    assert troubled.set_aside is not None and "dataset" in troubled.set_aside.reason
    with workspace.lineage.reader() as reader:
        assert reader.sql("SELECT * FROM orphans").rows == ()
        pending = reader.sql("SELECT * FROM purge_evidence WHERE verdict <> 'absent'").rows
    assert pending == ()
    assert workspace.mlflow.reading.versions() == [2]
    assert workspace.mlflow.destruction.leftovers() == []
    assert list(workspace.temporary.iterdir()) == []
    assert [path for path in workspace.root.rglob(UNFINISHED) if ".dvc" not in path.parts] == []
    assert workspace.git.is_clean()
    for leaver in LEAVERS:
        needles = {"id": leaver.encode(), "text": marker(leaver).encode()}
        assert traces(workspace.root, needles) == {}
