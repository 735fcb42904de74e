"""What commands do on a built workspace and on machines that misbehave."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from flows.integrations.openlineage.events import FILE
from flows.workspace.workspace import Workspace
from tests.support.rival import rival
from tests.support.sift import Sift, without_signs_of_life
from tests.support.trees import tree
from tests.support.workspaces import add, request, reviews

MAKE_FULL = """
set -e
mkdir "$1/../kept"; cp -a "$1/merge/." "$1/../kept"
mount -t tmpfs -o size=100k,nr_inodes=20 tiny "$1/merge"
cp -a "$1/../kept/." "$1/merge"
dd if=/dev/zero of="$1/merge/filler" bs=1k 2>/dev/null || true
"""
MAKE_READ_ONLY = 'set -e; mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"'


def on_a_machine(prepare: str, root: Path, *commands: list[str]) -> list[tuple[int, str]]:
    """Run commands after `prepare` has changed what the file system allows, for them alone.

    Returns exit code and standard error of each, without signs of life.
    """
    if shutil.which("unshare") is None or not _may_mount():
        pytest.skip("mounting for one process alone is not allowed here")
    program = (
        "import json, sys, io, contextlib; from flows.cli import run\\n"
        "for command in json.loads(sys.argv[1]):\\n"
        "    err = io.StringIO()\\n"
        "    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):\\n"
        "        code = run([*command, '-w', sys.argv[2]])\\n"
        "    print(json.dumps([code, err.getvalue()]))\\n"
    )
    script = f'{prepare}\n"$2" -c "$(printf \'{_quoted(program)}\')" "$3" "$1"'
    arguments = [str(root), sys.executable, json.dumps(commands)]
    ended = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    return [(code, without_signs_of_life(err)) for code, err in found]


def _quoted(program: str) -> str:
    return program.replace("'", "'\\''")


def _may_mount() -> bool:
    probe = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs x /mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def altered(path: Path, how: str) -> bytes:
    """Damage a file; the bytes it had."""
    whole = path.read_bytes()
    harm = {"truncated": whole[:-7], "altered": whole[:-1] + bytes([whole[-1] ^ 1]), "empty": b""}
    path.write_bytes(harm[how])
    return whole


@pytest.mark.parametrize("how", ["truncated", "altered", "empty"])
def test_a_damaged_vector_fails_verify_and_only_that(
    how: str, built: Workspace, sift: Sift
) -> None:
    altered(next(iter(built.vectors.iterdir())), how)
    before = tree(built.root)
    ended = sift("verify", "-w", built.root, "--json")
    assert ended.code == 1
    ended.complained("merge rebuilt from vectors", "dvc checkout")
    failed = [check["name"] for check in ended.json["checks"] if not check["passed"]]
    assert failed == ["merge rebuilt from vectors"]
    assert tree(built.root) == before


LOOKS = (
    ["status"],
    ["verify"],
    ["contributors", "list"],
    ["contributors", "show", "reader 01"],
    ["opt-out", "status"],
    ["opt-out", "run"],
    ["lineage", "impact", "reader 01"],
    ["lineage", "trace", "1"],
    ["lineage", "sql", "SELECT 'nan'::DOUBLE AS x, DATE '2026-01-01' AS d, [1, 2] AS l, NULL AS n"],
)


def test_json_is_json_and_nothing_else_and_looking_changes_nothing(
    built: Workspace, sift: Sift
) -> None:
    before = tree(built.root)
    for command in LOOKS:
        ended = sift(*command, "--json", "-w", built.root)
        assert (ended.code, ended.err) == (0, ""), (command, ended.err)
        assert ended.json is not None
        told = sift(*command, "-w", built.root)
        assert told.code == 0 and told.out, command
    assert tree(built.root) == before


def test_a_contributor_is_found_by_key_too(built: Workspace, sift: Sift) -> None:
    key = built.key_of("reader 01")
    by_id = sift("contributors", "show", "reader 01", "--json", "-w", built.root)
    by_key = sift("contributors", "show", key, "--json", "-w", built.root)
    assert by_id.json == by_key.json


def test_export_to_a_folder_that_holds_something_is_refused(
    built: Workspace, sift: Sift, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("x")
    sift("model", "export", tmp_path, "-w", built.root).refused(2, "is not empty")
    for who in ("nobody", "../../x"):
        arguments = ("model", "export", tmp_path / "new", "--contributor", who, "-w", built.root)
        sift(*arguments).refused(2)
    assert list(tree(tmp_path)) == ["mine"]


def test_hostile_text_reaches_no_terminal(built: Workspace, sift: Sift) -> None:
    query = "SELECT chr(27) || '[2J' AS a, '[red]x[/red]' AS b, chr(10) || 'line' AS \"c\""
    ended = sift("lineage", "sql", query, "-w", built.root)
    assert "\x1b" not in ended.out and r"\x1b[2J" in ended.out and "[red]x[/red]" in ended.out


def test_a_second_build_at_the_same_time_is_refused(built: Workspace, sift: Sift) -> None:
    request(built, "reader 01")
    before = tree(built.root)
    with rival(built.root):
        for command in (["build"], ["opt-out", "run"]):
            ended = sift(*command, "-w", built.root, "--json")
            ended.refused(1, "Another process is changing", "Wait for it")
    assert tree(built.root) == before


def test_weights_that_are_no_numbers_are_the_base_s_fault_and_merge_nothing(
    fresh: Workspace, sift: Sift, tmp_path: Path, tiny_classifier: Path
) -> None:
    broken = shutil.copytree(tiny_classifier, tmp_path / "broken")
    weights = safetensors.torch.load_file(broken / "model.safetensors")
    name = next(name for name in weights if "layer.0.attention" in name)
    weights[name] = torch.full_like(weights[name], float("inf"))
    safetensors.torch.save_file(weights, broken / "model.safetensors", {"format": "pt"})
    path = fresh.root / "params.yaml"
    path.write_text(re.sub(r"source: .*", f"source: {broken}", path.read_text(), count=1))
    for command in (["build", "--json"], ["stage", "base"]):
        ended = sift(*command, "-w", fresh.root)
        ended.refused(1, "The base model holds numbers that are NaN", "Fetch it once more")
    for folder in (fresh.vectors, fresh.masks, fresh.merge, fresh.temporary):
        assert list(folder.iterdir()) == []
    with fresh.lineage.reader() as reader:
        assert reader.task_vectors() == [] and reader.current_state() is None


def test_a_base_model_that_is_not_there_names_the_remedy(
    fresh: Workspace, sift: Sift, tiny_classifier: Path
) -> None:
    path = fresh.root / "params.yaml"
    path.write_text(path.read_text().replace(str(tiny_classifier), str(fresh.root / "nowhere")))
    before = tree(fresh.root)
    sift("build", "-w", fresh.root).refused(1, "nowhere")
    # A run that failed is told of to OpenLineage, and to whoever watches the workspace.
    told = {FILE.as_posix(), ".sift/lately", ".sift/lately/build.json"}
    assert tree(fresh.root).items() - before.items() == {
        item for item in tree(fresh.root).items() if item[0] in told
    }
    assert before.items() <= tree(fresh.root).items()


def with_a_newcomer(workspace: Workspace, sift: Sift) -> None:
    """Bring a thirteenth contributor as far as a finetuned vector: the next thing is a merge."""
    add(workspace, reviews("newcomer"))
    assert sift("stage", "finetune", "-w", workspace.root).code == 0


def test_a_disk_that_fills_up_while_the_state_is_written_keeps_the_old_state(
    built: Workspace, sift: Sift, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_a_newcomer(built, sift)
    before = tree(built.root)

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        sift("stage", "merge", "-w", built.root).refused(1, "The disk is full", "Free some space")
    assert tree(built.root) == before
    assert sift("verify", "-w", built.root).code == 0
    assert sift("stage", "merge", "-w", built.root).code == 0, "with space again it goes on"
    with built.lineage.reader() as reader:
        state: Any = reader.current_state()
        assert len(reader.members(state.state_seq)) == 13


@pytest.mark.slow
def test_a_disk_that_is_really_full_keeps_the_old_state(built: Workspace, sift: Sift) -> None:
    with_a_newcomer(built, sift)
    before = tree(built.root)
    merge, verify = on_a_machine(MAKE_FULL, built.root, ["stage", "merge"], ["verify"])
    assert merge[0] == 1 and merge[1].startswith("Error: The disk is full"), merge
    assert verify == (0, "")
    assert tree(built.root) == before


@pytest.mark.slow
def test_a_workspace_that_is_read_only_can_be_looked_at_and_not_changed(
    built: Workspace, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in reviews("newcomer")))
    before = tree(built.root)
    status, listed, added, requested = on_a_machine(
        MAKE_READ_ONLY,
        built.root,
        ["status"],
        ["contributors", "list"],
        ["contributors", "add", str(rows)],
        ["opt-out", "request", "reader 01", "--basis", "x"],
    )
    assert (status, listed) == ((0, ""), (0, ""))
    for code, line in (added, requested):
        assert code == 1 and line.startswith("Error: Read-only file system"), line
        assert "Make the workspace writable" in line and line.count("\n") == 1
    assert tree(built.root) == before


def test_status_says_what_is_kept_of_a_member_and_what_it_costs(
    masks_only: Workspace, with_vectors: Workspace, sift: Sift
) -> None:
    def facts(workspace: Workspace) -> list[object]:
        shown = sift("status", "--json", "-w", workspace.root).json
        return [shown[name] for name in shown if "member" in name]

    members, kept, both, mask = facts(masks_only)
    assert (members, kept) == (5, "mask")
    assert facts(with_vectors) == [5, "vector and mask", both, mask]
    sizes = [path.stat().st_size for path in masks_only.masks.iterdir()]
    assert mask == sum(sizes) // len(sizes)
    files = [*with_vectors.vectors.iterdir(), *with_vectors.masks.iterdir()]
    assert both == sum(path.stat().st_size for path in files) // len(sizes)


def test_verify_finetunes_again_where_it_is_asked_to(masks_only: Workspace, sift: Sift) -> None:
    plain = sift("verify", "--json", "-w", masks_only.root).json
    again = sift("verify", "--rederive", "--json", "-w", masks_only.root).json

    assert (plain["level"], plain["passed"]) == ("derived", True)
    assert (again["level"], again["passed"]) == ("rebuilt", True)
