"""A damaged file of who leaves: it comes back from DVC, or is done without, to the same bytes."""

import hashlib

import pytest

from flows.erasure.steps.removed import remove
from flows.evidence.verification import verify
from flows.workspace.workspace import Workspace
from tests.support.kept import FEW, STAYER, Both
from tests.support.workspaces import files, lose, merge_bytes, opt_out_plainly, report_of, request


@pytest.mark.parametrize(
    ("copies", "subtracted"),
    [pytest.param("in DVC", "stored", marks=pytest.mark.slow), ("nowhere", "lost")],
)
@pytest.mark.parametrize("kind", ["vector", pytest.param("mask", marks=pytest.mark.slow)])
def test_an_opt_out_never_rests_on_a_damaged_file(
    without_stayer: bytes, with_vectors: Workspace, kind: str, copies: str, subtracted: str
) -> None:
    workspace = with_vectors
    path = files(workspace, STAYER)[["dataset", "vector", "mask"].index(kind)]
    if copies == "nowhere":
        lose(workspace, path, hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest())
    else:
        path.write_bytes(b"altered")
    removal = request(workspace, STAYER)

    opt_out_plainly(workspace.root)

    assert merge_bytes(workspace) == without_stayer
    assert report_of(workspace, removal.request_id)["removal"]["vector"] == subtracted
    found = verify(workspace)
    assert (found.passed, found.level, found.members) == (True, "rebuilt", len(FEW) - 1)


@pytest.fixture
def without_stayer(_both: Both) -> bytes:
    """The merge after an undisturbed opt-out."""
    workspace = _both.vectors.restore()
    remove([request(workspace, STAYER)])
    return merge_bytes(workspace)
