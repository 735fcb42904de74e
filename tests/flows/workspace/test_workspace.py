import os
import threading
from pathlib import Path
from typing import Any

import pytest

from flows.errors import UsageError
from flows.workspace.locks import WorkspaceBusyError
from flows.workspace.workspace import Workspace
from tests.support.rival import rival
from tests.support.trees import tree

CAUSAL: dict[str, dict[str, Any]] = {"model": {"name": "films"}}


def test_a_new_workspace_is_committed_and_holds_nobody(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "new" / "films", CAUSAL)
    assert Workspace.open(workspace.root) == workspace and workspace.settings.model.name == "films"
    assert workspace.git.is_clean()
    with workspace.lineage.reader() as reader:
        assert reader.contributors() == [] and reader.current_state() is None
    assert (workspace.root / ".sift" / "secret.key").stat().st_mode & 0o777 == 0o600


def test_two_workspaces_give_one_contributor_two_keys(tmp_path: Path) -> None:
    one, other = (Workspace.create(tmp_path / name, CAUSAL) for name in ("one", "other"))
    assert one.key_of("ann") != other.key_of("ann")


@pytest.mark.parametrize("inside", ["file", ".hidden", "folder/"])
def test_a_folder_that_holds_anything_is_left_alone(tmp_path: Path, inside: str) -> None:
    if inside.endswith("/"):
        (tmp_path / inside).mkdir()
    else:
        (tmp_path / inside).write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="not empty"):
        Workspace.create(tmp_path, CAUSAL)
    assert tree(tmp_path) == before


def test_a_file_is_no_folder_for_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        Workspace.create(tmp_path / "file", CAUSAL)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("existed", [False, True])
@pytest.mark.parametrize("reason", ["wrong setting", "killed half way"])
def test_a_failed_start_leaves_nothing_behind(
    tmp_path: Path, existed: bool, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "films"
    if existed:
        root.mkdir()
    if reason == "wrong setting":
        with pytest.raises(UsageError, match=r"model\.name"):
            Workspace.create(root, {"model": {"name": "../x"}})
    else:
        monkeypatch.setattr("flows.workspace.workspace.create_secret", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            Workspace.create(root, CAUSAL)
    assert root.exists() == existed and (not existed or not list(root.iterdir()))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("missing", ["params.yaml", ".sift", "everything"])
def test_a_folder_that_is_no_workspace_names_both_remedies(
    fresh: Workspace, tmp_path: Path, missing: str
) -> None:
    root = fresh.root
    if missing == "everything":
        root = tmp_path / "nowhere"
    else:
        (root / missing).rename(tmp_path / "away")
    with pytest.raises(UsageError, match=r"--workspace.*sift init"):
        Workspace.open(root)


def test_only_one_process_changes_a_workspace_and_a_dead_one_lets_go(fresh: Workspace) -> None:
    with rival(fresh.root) as other:
        with pytest.raises(WorkspaceBusyError, match="Another process") as caught, fresh.lock():
            pytest.fail("two processes hold the lock")
        assert caught.value.exit_code == 1
        other.kill()
    with fresh.lock():
        pass


def test_a_scheduled_run_waits_for_its_turn(fresh: Workspace) -> None:
    with rival(fresh.root) as other:
        threading.Timer(0.3, other.kill).start()
        with Workspace.open(fresh.root, patience=60.0).lock():
            assert other.wait(timeout=60) != 0, "it went on once the other had ended"


def test_the_lock_sweeps_what_a_killed_process_left(fresh: Workspace) -> None:
    (fresh.temporary / "data-abc").mkdir()
    (fresh.temporary / "data-abc" / "rows").write_text("of a contributor")
    (fresh.temporary / "link").symlink_to(fresh.root / "params.yaml")
    with fresh.lock():
        assert list(fresh.temporary.iterdir()) == []
    assert (fresh.root / "params.yaml").is_file(), "a link goes, not what it names"


def test_scratch_is_inside_the_workspace_and_gone_after_an_error(fresh: Workspace) -> None:
    with pytest.raises(RuntimeError), fresh.scratch("try") as folder:
        (folder / "half").write_bytes(os.urandom(10))
        assert folder.is_relative_to(fresh.root)
        raise RuntimeError
    assert list(fresh.temporary.iterdir()) == []
