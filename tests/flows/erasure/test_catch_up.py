"""One departure of a restored backup that cannot be carried out again stops none of the others."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.erasure.approvals import place_hold, release_hold
from flows.erasure.catch_up import catch_up
from flows.erasure.request import Request, open_requests
from flows.erasure.set_aside import SetAsideError
from flows.erasure.tombstones.folders import FOLDER
from flows.erasure.tombstones.places import unknown
from flows.erasure.tombstones.tombstone import DepartureError
from flows.errors import FlowError
from flows.opt_out import take_steps
from flows.workspace.workspace import Workspace
from tests.support.traces import traces
from tests.support.workspaces import Snapshot, another, marker, opt_out_plainly, request

TROUBLED, OTHER = "ann", "bob"
Undo = Callable[[], object]


@pytest.fixture(scope="module")
def _back(tmp_path_factory: pytest.TempPathFactory, _fresh: Path) -> Iterator[Snapshot]:
    """A folder from before both left, put back in its place; their notes are of today."""
    workspace = another(_fresh, tmp_path_factory.mktemp("back") / "films")
    before = Snapshot.take(workspace.root, "before they left")
    for who in (TROUBLED, OTHER):
        opt_out_plainly(workspace.root, request(workspace, who).request_id)
    notes = shutil.copytree(workspace.root / ".sift" / FOLDER, workspace.root.with_name("notes"))
    workspace = before.restore()
    shutil.copytree(notes, workspace.root / ".sift" / FOLDER, dirs_exist_ok=True)
    yield Snapshot.take(workspace.root, "after the restore")


def _note_altered(workspace: Workspace) -> Undo:
    (name,) = (
        one.file_name for one in unknown(workspace) if one.contributor_key == _key(workspace)
    )
    (note,) = (workspace.root / ".sift" / FOLDER).rglob(name)
    whole = note.read_bytes()
    note.write_bytes(whole.replace(b"gdpr", b"ccpa"))
    return lambda: note.write_bytes(whole)


def _on_hold(workspace: Workspace) -> Undo:
    place_hold(workspace, _key(workspace), "counsel", "case 7")
    return lambda: release_hold(workspace, _key(workspace), "counsel", "case closed")


def _report_folder_occupied(workspace: Workspace) -> Undo:
    folder = workspace.reports / "opt-out-0001"
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file")
    return folder.unlink


def _key(workspace: Workspace) -> str:
    return workspace.key_of(TROUBLED)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("befall", "error"),
    [
        (_note_altered, DepartureError),
        (_on_hold, FlowError),
        (_report_folder_occupied, OSError),
    ],
)
def test_the_others_leave_again_and_the_troubled_one_does_later(
    _back: Snapshot, befall: Callable[[Workspace], Undo], error: type[Exception]
) -> None:
    workspace = _back.restore()
    assert len(unknown(workspace)) == 2
    undo = befall(workspace)

    with workspace.lock(), pytest.raises(SetAsideError) as caught:
        catch_up(workspace, take_steps)

    (trouble,) = caught.value.troubles.values()
    assert isinstance(trouble, error)
    assert traces(workspace.root, {"text": marker(OTHER).encode()}) == {}
    assert {one.contributor_key for one in unknown(workspace, [])} <= {_key(workspace)}

    undo()
    with workspace.lock():
        catch_up(workspace, take_steps)
        take_steps([Request(workspace, name) for name in open_requests(workspace)])

    assert unknown(workspace) == []
    assert traces(workspace.root, {"text": marker(TROUBLED).encode()}) == {}
