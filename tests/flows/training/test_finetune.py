"""A contributor's vector is the same alone, in any shard and in any order; the base loads once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sift_core
from flows.models.evaluate import evaluate_state
from flows.models.merge import merge_members
from flows.models.register import register
from flows.training.base_model import base_id, ensure_base, load_base
from flows.training.finetune import finetune_jobs, jobs, pending
from flows.workspace.workspace import Workspace
from tests.support.workspaces import CONTRIBUTORS, add, finetune_and_merge, make_workspace, reviews

NAMES = CONTRIBUTORS[:5]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path) -> Workspace:
    """Five contributors and a base model; nothing is finetuned."""
    root = tmp_path_factory.mktemp("five") / "workspace"
    made = make_workspace(root, tiny_classifier, [[row for c in NAMES for row in reviews(c)]])
    ensure_base(made)
    return made


@pytest.fixture(scope="module")
def alone(workspace: Workspace) -> dict[str, bytes]:
    """The files that each contributor leaves who is finetuned by a process of their own."""
    for job in jobs(workspace):
        finetune_jobs(Workspace.open(workspace.root), [job])
    return files(workspace)


def files(workspace: Workspace) -> dict[str, bytes]:
    """Every mask and vector of a workspace."""
    folders = (workspace.masks, workspace.vectors)
    return {
        path.relative_to(workspace.root).as_posix(): path.read_bytes()
        for folder in folders
        for path in folder.iterdir()
    }


def counted(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[object]:
    """Let a function note each of its calls."""
    calls: list[object] = []
    work: Callable[..., object] = getattr(owner, name)

    def noting(*arguments: object, **named: object) -> object:
        calls.append(arguments)
        return work(*arguments, **named)

    monkeypatch.setattr(owner, name, noting)
    return calls


@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_vector_is_the_same_alone_in_any_shard_and_in_any_order(
    workspace: Workspace, alone: dict[str, bytes], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(jobs(workspace)))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order) - 1))))
    for path in alone:
        (workspace.root / path).unlink()

    for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
        finetune_jobs(workspace, order[start:end])

    assert files(workspace) == alone


def test_a_build_loads_the_base_once_and_hashes_it_once_before_the_merge(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = Workspace.open(workspace.root)
    loads = counted(monkeypatch, sift_core, "load_base")
    hashes = counted(monkeypatch, sift_core, "folder_sha256")
    work = jobs(fresh)
    for path in files(fresh):
        (fresh.root / path).unlink()

    for job in work:
        finetune_jobs(fresh, [job])
    assert (len(loads), len(hashes)) == (1, 1)

    state = merge_members(fresh, work)
    evaluate_state(fresh, state)
    register(fresh, state, {})
    assert len(loads) == 1


def test_another_base_or_setting_is_loaded_anew(workspace: Workspace) -> None:
    own = Workspace.open(workspace.root)
    first = load_base(own)

    assert load_base(own) is first
    assert load_base(Workspace.open(workspace.root)) is not first

    weights = own.base / "model.safetensors"
    before, data = base_id(own), weights.read_bytes()
    try:
        weights.write_bytes(data[:-4] + b"\0\0\0\0")
        assert base_id(own) != before
        assert load_base(own).base_id == base_id(own)
    finally:
        weights.write_bytes(data)
    assert load_base(own).base_id == before


def test_a_contributor_whose_work_fails_takes_nobody_else_along(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    finetune_and_merge(workspace)
    for name in NAMES:
        add(workspace, reviews(name, edition=1), replace=True)
    last = jobs(workspace)[-1]
    honest = sift_core.finetune
    done = iter(range(len(NAMES)))

    def failing(*arguments: object) -> object:
        if next(done) == len(NAMES) - 1:
            raise sift_core.SiftCoreError("It diverged.", remedy="none.")
        return honest(*arguments)

    monkeypatch.setattr(sift_core, "finetune", failing)
    with pytest.raises(sift_core.SiftCoreError):
        finetune_jobs(workspace, pending(workspace))
    monkeypatch.undo()

    assert pending(workspace) == [last]
    finetune_and_merge(workspace)
    assert pending(workspace) == []
