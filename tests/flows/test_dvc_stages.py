"""dvc.yaml describes the very job that the flows do: both ways meet in the same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from tests.support.prefect_runs import build_by_flow
from tests.support.traces import traces
from tests.support.workspaces import CONTRIBUTORS, make_workspace, reviews

FEW = CONTRIBUTORS[:3]


def dvc(root: Path, *arguments: str) -> str:
    """What the real `dvc` command prints, with `sift` on the path as a user has it."""
    programs = Path(sys.executable).parent
    done = subprocess.run(
        [programs / "dvc", *arguments],
        cwd=root,
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def commits(workspace: Workspace) -> list[str]:
    """The subjects of the workspace's commits, newest first."""
    done = subprocess.run(
        ["git", "-C", str(workspace.root), "log", "--format=%s"], capture_output=True, text=True
    )
    return done.stdout.splitlines()


@pytest.mark.slow
def test_dvc_repro_and_the_flow_meet_in_the_same_bytes(
    tmp_path: Path, tiny_classifier: Path
) -> None:
    workspace = make_workspace(tmp_path / "workspace", tiny_classifier, map(reviews, FEW))

    dvc(workspace.root, "repro")

    by_stages = current_state(workspace).state_sha256
    metrics, plot = workspace.root / "metrics.json", workspace.root / "plots" / "quality.csv"
    written = metrics.read_bytes(), plot.read_bytes()
    locked = (workspace.root / "dvc.lock").read_bytes()
    result = build_by_flow(workspace)
    assert (result.state_sha256, result.finetuned) == (by_stages, 0)
    assert (metrics.read_bytes(), plot.read_bytes()) == written
    assert (workspace.root / "dvc.lock").read_bytes() == locked


@pytest.mark.slow
def test_dvc_repro_never_sees_a_vector_where_only_masks_are_kept(
    tmp_path: Path, tiny_classifier: Path, needles: dict[str, bytes]
) -> None:
    root = tmp_path / "workspace"
    workspace = make_workspace(root, tiny_classifier, map(reviews, FEW), keep="masks")

    dvc(root, "repro")

    assert traces(root, needles) == {}
    assert "up to date" in dvc(root, "status")
    by_stages = current_state(workspace).state_sha256
    result = build_by_flow(Workspace.open(root))
    assert (result.state_sha256, result.finetuned) == (by_stages, 0)
    assert traces(root, needles) == {}


def test_a_flow_leaves_dvc_nothing_to_do(built: Workspace) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.vectors.iterdir()}

    assert "up to date" in dvc(built.root, "status")
    assert "up to date" in dvc(built.root, "repro")

    assert {path: path.stat().st_mtime_ns for path in built.vectors.iterdir()} == before
    assert built.git.is_clean()


def test_metrics_and_plots_can_be_read_and_compared(left: Workspace) -> None:
    shown = json.loads(dvc(left.root, "metrics", "show", "--json"))
    compared = json.loads(dvc(left.root, "metrics", "diff", "HEAD~1", "--json"))
    dvc(left.root, "plots", "show", "--out", str(left.root.parent / "plots"))
    dvc(left.root, "plots", "diff", "HEAD~1", "--out", str(left.root.parent / "compared"))

    metrics = json.loads((left.root / "metrics.json").read_text())
    assert shown[""]["data"]["metrics.json"]["data"] == metrics
    assert compared["metrics.json"]["contributors"] == {"old": 12.0, "new": 11.0, "diff": -1.0}
    for folder in ("plots", "compared"):
        page = (left.root.parent / folder / "index.html").read_text()
        assert "percentile" in page


def test_each_build_and_each_opt_out_is_one_commit(left: Workspace) -> None:
    assert commits(left) == [
        "Opt out: opt-out-0001",
        "Build version 1: 12 members",
        "Start the workspace",
    ]
    assert dvc(left.root, "status").strip() == "Data and pipelines are up to date."


def test_dvc_sees_a_changed_setting(built: Workspace) -> None:
    name = "steps: 3"
    settings = built.root / "params.yaml"
    text = settings.read_text()
    assert name in text
    settings.write_text(text.replace(name, name[:-1] + "5"))

    assert "finetune" in json.loads(dvc(built.root, "status", "--json"))
