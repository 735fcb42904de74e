"""Killed anywhere, run again: the same final bytes, nothing doubled, nothing left lying about."""

from pathlib import Path

import pytest

from flows.workspace.workspace import UNFINISHED, Workspace
from sift_bytes import write_atomically
from tests.support.killed import Point, dies
from tests.support.tidy import LEAVING, require_left, require_tidy
from tests.support.workspaces import (
    add,
    build_plainly,
    merge_bytes,
    opt_out_plainly,
    request,
    reviews,
)

_RECORDED = "flows.erasure.request:Request.done"

# In the order in which the work meets them, so that one opt-out can die of all of them in turn.
OPT_OUT = [
    Point("sift_core:update_state", "before"),
    Point("sift_bytes.files:Path.replace", "before"),
    Point("flows.erasure.steps.removed:make_current", "before"),
    Point("flows.erasure.steps.removed:make_current", "after"),
    Point(_RECORDED, "before", "verified"),
    Point("flows.models.evaluate:_Scoring._measured", "after"),
    Point("flows.workspace.recording:Recording.flush", "before"),
    Point("flows.workspace.recording:Recording.flush", "after"),
    Point(_RECORDED, "before", "evaluated"),
    Point("flows.integrations.mlflow.model_folder:write_model", "after"),
    Point("flows.integrations.mlflow.registration:Registration.register", "after"),
    Point("flows.integrations.mlflow.registration:Registration.set_champion", "after"),
    Point(_RECORDED, "before", "registered"),
    Point("flows.erasure.steps.purged:note", "after"),
    Point("flows.erasure.steps.purged:_plan", "after"),
    Point("pathlib:Path.unlink", "after", "vectors/"),
    Point("flows.erasure.steps.purged:_forget_datasets", "after"),
    Point("flows.integrations.dvc.recording:Recording.commit_stages", "after"),
    Point("flows.erasure.steps.purged:record", "after"),
    Point("flows.integrations.dvc.stored_objects:_drop_runs", "after"),
    Point("flows.integrations.dvc.stored_objects:StoredObjects.destroy", "after", "dvc-cache"),
    Point("flows.integrations.mlflow.destruction:Destruction._destroy_version", "after"),
    Point("flows.integrations.mlflow.destruction:Destruction._destroy_model", "after"),
    Point("flows.erasure.targets.model_versions:ModelVersions.erase", "after"),
    Point("flows.integrations.dvc.remote:RemoteStore.push", "after"),
    Point("flows.erasure.targets.dvc_objects:push", "after"),
    Point("flows.integrations.dvc.stored_objects:StoredObjects.destroy", "after", "dvc-remote"),
    Point("flows.erasure.steps.purged:_forget", "before"),
    Point("lineage.file_store:LineageStore.rewrite", "before"),
    Point("lineage.file_store:copy_live_rows", "after"),
    Point(_RECORDED, "before", "purged"),
    Point("sift_bytes:write_atomically", "after", "report.html"),
    Point("sift_bytes:write_atomically", "after", "report.json"),
    Point("sift_bytes:write_atomically", "before", "certificate"),
    Point("sift_bytes:write_atomically", "after", "certificate"),
    Point("flows.integrations.mlflow.registration:Registration.attach", "after"),
    Point(_RECORDED, "before", "reported"),
]
OFTEN = [
    point
    for point in OPT_OUT
    if (point.function == _RECORDED and point.of in ("verified", "purged"))
    or point.function.endswith(":LineageStore.rewrite")
]
"""A step's work is done and not recorded, and the narrowest gap; slow tests die everywhere."""
BUILD = [
    Point("sift_bytes:write_atomically", "after", "vectors/"),
    Point("sift_bytes.files:Path.replace", "before"),
    Point("flows.training.finetune:_finetune", "after"),
    Point("flows.workspace.recording:Recording.flush", "before"),
    Point("flows.workspace.recording:Recording.flush", "after"),
    Point("flows.models.merge:write_state", "after"),
    Point("flows.models.merge:make_current", "after"),
    Point("flows.models.merge:sweep_states", "before"),
    Point("flows.models.evaluate:_Scoring._measured", "after"),
    Point("flows.integrations.mlflow.registration:Registration.register", "after"),
    Point("flows.integrations.mlflow.registration:Registration.set_champion", "after"),
    Point("flows.integrations.dvc.recording:Recording.add", "after"),
    Point("flows.integrations.dvc.recording:Recording.commit_stages", "after"),
    Point("flows.integrations.dvc.remote:RemoteStore.push", "after"),
    Point("flows.integrations.git:Git.add", "after"),
    Point("flows.integrations.git:Git.commit", "after"),
]


def test_an_opt_out_that_dies_again_and_again_ends_the_same(
    built: Workspace, without_leaver: bytes
) -> None:
    request(built, LEAVING)

    deaths = {str(point): dies(opt_out_plainly, built.root, point) for point in OFTEN}
    opt_out_plainly(built.root)

    assert [point for point, died in deaths.items() if not died] == []
    require_left(built, without_leaver)


@pytest.mark.slow
def test_a_build_that_dies_again_and_again_ends_the_same(
    built: Workspace, with_newcomer: bytes
) -> None:
    add(built, reviews("newcomer"))

    deaths = {str(point): dies(build_plainly, built.root, point) for point in BUILD[::2]}
    build_plainly(built.root)

    assert [point for point, died in deaths.items() if not died] == []
    assert merge_bytes(built) == with_newcomer
    require_tidy(built, versions=[1, 2])


@pytest.mark.slow
@pytest.mark.parametrize("point", OPT_OUT, ids=str)
def test_an_opt_out_that_dies_once_ends_the_same(
    built: Workspace, without_leaver: bytes, point: Point
) -> None:
    request(built, LEAVING)

    assert dies(opt_out_plainly, built.root, point)
    opt_out_plainly(built.root)

    require_left(built, without_leaver)


@pytest.mark.slow
@pytest.mark.parametrize("point", BUILD, ids=str)
def test_a_build_that_dies_once_ends_the_same(
    built: Workspace, with_newcomer: bytes, point: Point
) -> None:
    add(built, reviews("newcomer"))

    assert dies(build_plainly, built.root, point)
    build_plainly(built.root)

    assert merge_bytes(built) == with_newcomer
    require_tidy(built, versions=[1, 2])


@pytest.mark.slow
def test_what_dvc_had_half_written_when_it_died_comes_back(
    built: Workspace, without_leaver: bytes
) -> None:
    """DVC writes these files in place."""
    request(built, LEAVING)
    for name in ("dvc.lock", "data.dvc", ".dvc/tmp/rwlock"):
        (built.root / name).write_bytes(b"")
    opt_out_plainly(built.root)
    require_left(built, without_leaver)


@pytest.mark.slow
def test_a_build_in_the_middle_of_an_opt_out_does_not_bring_the_leaver_back(
    built: Workspace, without_leaver: bytes
) -> None:
    request(built, LEAVING)
    assert dies(opt_out_plainly, built.root, Point(_RECORDED, "before", "verified"))

    build_plainly(built.root)

    assert merge_bytes(built) == without_leaver
    opt_out_plainly(built.root)
    require_left(built, without_leaver)


def test_the_sweep_knows_what_an_unfinished_file_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, _target: Path) -> Path:
        assert self.match(UNFINISHED)
        raise InterruptedError

    monkeypatch.setattr(Path, "replace", refuse)

    with pytest.raises(InterruptedError):
        write_atomically(tmp_path / "file", b"bytes")
