"""Where only masks are kept, too: killed anywhere, run again, the same final bytes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.evidence.verification import verify
from flows.workspace.workspace import Workspace
from tests.support.kept import FEW, LEAVER, STAYER, fresh_merge, keep, vector_files
from tests.support.killed import Point, dies
from tests.support.tidy import require_tidy
from tests.support.traces import traces
from tests.support.workspaces import (
    add,
    build_plainly,
    finetune_and_merge,
    make_workspace,
    marker,
    merge_bytes,
    opt_out_plainly,
    request,
    reviews,
)

_RECORDED = "flows.erasure.request:Request.done"
_DROPPED = "lineage.recorder:Recorder.mark_vectors_dropped"
OPT_OUT = [
    Point("flows.training.rederive:Rederiver.vector", "before"),
    Point("sift_bytes:write_atomically", "before", ".sift/vectors"),
    Point("sift_bytes:write_atomically", "after", ".sift/vectors"),
    Point("flows.erasure.steps.removed:write_state", "after"),
    Point("flows.erasure.steps.removed:make_current", "after"),
    Point(_RECORDED, "before", "verified"),
    Point("pathlib:Path.unlink", "after", ".sift/vectors"),
    Point("flows.erasure.steps.purged:_forget_datasets", "after"),
    Point("flows.erasure.steps.purged:record", "after"),
    Point(_RECORDED, "before", "purged"),
]
BUILD = [
    Point("sift_bytes:write_atomically", "after", ".sift/vectors"),
    Point("flows.training.finetune:_finetune", "after"),
    Point("flows.models.merge:make_current", "after"),
    Point("pathlib:Path.unlink", "after", ".sift/vectors"),
    Point(_DROPPED, "before"),
    Point(_DROPPED, "after"),
    Point("flows.integrations.dvc.remote:RemoteStore.push", "after"),
]
SWITCH = [
    Point("pathlib:Path.replace", "after", ".sift/vectors"),
    Point("pathlib:Path.unlink", "after", ".sift/vectors"),
    Point(_DROPPED, "before"),
    Point("flows.integrations.dvc.recording:Recording.commit_stages", "after"),
    Point("flows.integrations.git:Git.commit", "after"),
    Point("flows.integrations.dvc.stored_objects:_drop_runs", "after"),
    Point("flows.integrations.dvc.stored_objects:StoredObjects.destroy", "after"),
]


def survivors(points: list[Point], work: Callable[[Path], None], root: Path) -> list[str]:
    """Let the work die at each point in turn; the points where it did not."""
    return [str(point) for point in points if not dies(work, root, point)]


@pytest.mark.slow
def test_an_opt_out_that_dies_while_others_wait_ends_the_same(
    masks_only: Workspace,
    needles: dict[str, bytes],
    tmp_path: Path,
    tiny_classifier: Path,
) -> None:
    add(masks_only, reviews("newcomer"))
    add(masks_only, reviews(STAYER, edition=1), replace=True)
    request(masks_only, LEAVER)

    assert survivors(OPT_OUT, opt_out_plainly, masks_only.root) == []
    opt_out_plainly(masks_only.root)

    stayers = [who for who in FEW if who != LEAVER]
    assert merge_bytes(masks_only) == merge_bytes(
        fresh_merge(tmp_path / "then", tiny_classifier, stayers)
    )
    assert verify(masks_only, "finetune again").passed
    text = {"id": LEAVER.encode(), "text": marker(LEAVER).encode()}
    assert traces(masks_only.root, needles | text) == {}

    build_plainly(masks_only.root)

    rows = [reviews(who, edition=int(who == STAYER)) for who in (*stayers, "newcomer")]
    now = make_workspace(tmp_path / "now", tiny_classifier, rows)
    finetune_and_merge(now)
    assert merge_bytes(masks_only) == merge_bytes(now)
    require_tidy(masks_only, versions=[2, 3])
    assert vector_files(masks_only) == []


@pytest.mark.slow
def test_a_build_that_dies_again_and_again_ends_the_same(
    masks_only: Workspace,
    tmp_path: Path,
    tiny_classifier: Path,
) -> None:
    add(masks_only, reviews("newcomer"))

    assert survivors(BUILD, build_plainly, masks_only.root) == []
    build_plainly(masks_only.root)

    other = fresh_merge(tmp_path / "other", tiny_classifier, [*FEW, "newcomer"])
    assert merge_bytes(masks_only) == merge_bytes(other)
    require_tidy(masks_only, versions=[1, 2])
    assert vector_files(masks_only) == []


@pytest.mark.slow
def test_a_change_to_masks_that_dies_again_and_again_ends_without_vectors(
    with_vectors: Workspace,
    needles: dict[str, bytes],
) -> None:
    state = merge_bytes(with_vectors)
    changed = keep(with_vectors, "masks")

    assert survivors(SWITCH, build_plainly, changed.root) == []
    build_plainly(changed.root)

    assert merge_bytes(changed) == state
    require_tidy(changed, versions=[1])
    assert traces(changed.root, needles) == {}
