"""One request that fails stops no other: whatever it is, and at whatever step.

A table of troubles, each of one request alone. Beside a request in such trouble another leaves in
the same run: it ends, in the bytes of a run without the first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.erasure.approvals import place_hold, release_hold
from flows.erasure.deadlines import due
from flows.erasure.request import Request
from flows.erasure.set_aside import SetAsideError
from flows.erasure.status import request_statuses
from flows.erasure.steps import removed as removing
from flows.erasure.steps.removed import remove
from flows.evidence.verification import verify
from flows.opt_out import take_steps
from flows.workspace.workspace import Workspace
from tests.support.kept import LEAVER, STAYER, Both
from tests.support.traces import traces
from tests.support.workspaces import lose_rows, marker, merge_bytes, record, request, reviews

TROUBLED = STAYER
"""Whose request is set aside; `LEAVER` goes on."""
Undo = Callable[[], None]
Patch = pytest.MonkeyPatch


def _rows_lost(workspace: Workspace, _removal: Request, _patch: Patch) -> Undo:
    path, rows = lose_rows(workspace, TROUBLED)

    def bring_back() -> None:
        path.write_bytes(rows)

    return bring_back


def _on_hold(workspace: Workspace, removal: Request, _patch: Patch) -> Undo:
    place_hold(workspace, removal.key, "counsel", "case 7")
    return lambda: release_hold(workspace, removal.key, "counsel", "case closed")


def _report_folder_occupied(workspace: Workspace, removal: Request, _patch: Patch) -> Undo:
    folder = workspace.reports / removal.request_id
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file")
    return folder.unlink


def _does_not_train(_place: Workspace, removal: Request, patch: Patch) -> Undo:
    really = removing.finetune_again

    def diverge(workspace: Workspace, key: str) -> object:
        if key == removal.key:
            raise ArithmeticError("NaN")
        return really(workspace, key)

    patch.setattr(removing, "finetune_again", diverge)
    return patch.undo


def _file_cannot_go(workspace: Workspace, removal: Request, patch: Patch) -> Undo:
    really = Path.unlink

    def refuse(self: Path, missing_ok: bool = False) -> None:
        if self.name.startswith(removal.key) and self.parent == workspace.data:
            raise PermissionError(13, "Permission denied", str(self))
        really(self, missing_ok=missing_ok)

    patch.setattr(Path, "unlink", refuse)
    return patch.undo


@dataclass(frozen=True)
class Trouble:
    """What befalls one request; `step` is the one that it cannot take."""

    name: str
    befall: Callable[[Workspace, Request, Patch], Undo]
    step: str
    records: bool = False
    """Whether it withdraws some records, so that rows are needed."""
    state: str = "set aside"


TROUBLES = [
    Trouble("rows lost", _rows_lost, "removed", records=True),
    Trouble("on hold", _on_hold, "removed", state="on hold"),
    Trouble("does not train", _does_not_train, "removed", records=True),
    Trouble("file cannot go", _file_cannot_go, "purged", state="purging"),
    Trouble("report folder occupied", _report_folder_occupied, "reported"),
]


@pytest.fixture(scope="module")
def alone(_both: Both) -> Iterator[dict[str, bytes]]:
    """The merge without `LEAVER`, and that without both."""
    workspace = _both.vectors.restore()
    remove([request(workspace, LEAVER)])
    one = merge_bytes(workspace)
    remove([request(workspace, TROUBLED)])
    yield {"without one": one, "without both": merge_bytes(workspace)}


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(one, id=one.name, marks=[pytest.mark.slow] if number else [])
        for number, one in enumerate(TROUBLES)
    ],
)
def test_others_end_and_the_troubled_one_stays_open_and_ends_later(
    with_vectors: Workspace, alone: dict[str, bytes], monkeypatch: Patch, trouble: Trouble
) -> None:
    workspace = with_vectors
    gone = [record(workspace, row) for row in reviews(TROUBLED)[:3]] if trouble.records else None
    troubled, other = request(workspace, TROUBLED, records=gone), request(workspace, LEAVER)
    deadlines = due(workspace, troubled.request_id)
    undo = trouble.befall(workspace, troubled, monkeypatch)

    with workspace.lock(), pytest.raises(SetAsideError) as caught:
        take_steps([troubled, other])

    assert list(caught.value.troubles) == [troubled.request_id]
    assert (troubled.next_step(), other.next_step()) == (trouble.step, None)
    expected = "without one" if trouble.step == "removed" else "without both"
    assert merge_bytes(workspace) == alone[expected]
    assert workspace.mlflow.reading.versions() == [2]
    assert traces(workspace.root, {"text": marker(LEAVER).encode()}) == {}
    (row, _) = request_statuses(workspace)
    assert row.state == trouble.state
    assert row.state == "on hold" or (row.set_aside and row.set_aside.step == trouble.step)
    assert row.deadlines == deadlines

    undo()
    with workspace.lock():
        take_steps([troubled])

    assert {row.state for row in request_statuses(workspace)} == {"reported"}
    assert verify(workspace).passed
    if gone is None:
        assert merge_bytes(workspace) == alone["without both"]
        assert traces(workspace.root, {"text": marker(TROUBLED).encode()}) == {}
