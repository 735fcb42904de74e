"""A base in bfloat16 that is scored from disk: everything else is as in memory."""

import json
from pathlib import Path

import pytest
import torch

from flows.errors import UsageError
from flows.evidence.export import export
from flows.evidence.verification import verify
from flows.training.base_model import base_id, ensure_base, load_base, scoring_base
from flows.training.finetune import UNSAID, differing, jobs, parameters
from flows.training.rederive import different_parameters
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from sift_core import FullWeights, StoredWeights, stream_base
from tests.support.workspaces import (
    build_plainly,
    change,
    make_workspace,
    opt_out_plainly,
    questions,
    request,
)

LEAVER, STAYERS = "ann", ("bob", "cem")


def unbuilt(root: Path, source: Path, who: tuple[str, ...], streamed: str) -> Workspace:
    """A workspace of a causal model in bfloat16."""
    workspace = make_workspace(root, source, map(questions, who), labels=())
    workspace = change(workspace, "dtype: float32", "dtype: bfloat16")
    workspace = change(workspace, "relearning_steps: 1", "relearning_steps: 0")
    return change(workspace, "streamed: false", f"streamed: {streamed}")


def made(root: Path, source: Path, who: tuple[str, ...], streamed: str) -> Workspace:
    """The same, built."""
    unbuilt(root, source, who, streamed)
    build_plainly(root)
    return Workspace.open(root)


def scores(workspace: Workspace) -> list[tuple[str, str, float]]:
    """Of all members, without their keys: those are of one workspace alone."""
    with workspace.lineage.reader() as reader:
        state = current_state(workspace).state_seq
        keys = {member.contributor_key for member in reader.members(state)}
        rows = [row for row in reader.evaluations(state) if row.contributor_key in keys]
    return sorted((row.setting, row.split, row.value) for row in rows)


def champion(workspace: Workspace) -> Path:
    version = workspace.mlflow.reading.champion()
    assert version is not None
    return workspace.mlflow.reading.served_folder(version)


@pytest.mark.slow
def test_an_opt_out_from_disk_ends_in_the_bytes_of_a_build_that_never_had_the_leaver(
    tiny_causal: Path, tmp_path: Path
) -> None:
    workspace = made(tmp_path / "a" / "w", tiny_causal, (LEAVER, *STAYERS), "true")
    removal = request(workspace, LEAVER)
    opt_out_plainly(workspace.root, removal.request_id)
    left = Workspace.open(workspace.root)
    verify(left).require()
    served = StoredWeights(champion(left))
    assert {tensor.dtype for tensor in served.values()} == {torch.bfloat16}
    with left.lineage.reader() as reader:
        audit = next(
            step.details["audit"]
            for step in reader.steps(removal.request_id)
            if step.step == "evaluated"
        )
    assert audit["passed"] is True
    never = made(tmp_path / "b" / "w", tiny_causal, STAYERS, "false")
    assert current_state(left).state_sha256 == current_state(never).state_sha256
    weights = "model.safetensors"
    assert (champion(left) / weights).read_bytes() == (champion(never) / weights).read_bytes()
    assert scores(left) == scores(never)  # one scored from disk, one in memory
    folder, _ = export(left, tmp_path / "export", STAYERS[0])
    masked = StoredWeights(folder)
    differing = [name for name in masked if not torch.equal(masked[name], served[name])]
    assert differing and all("layers" in name or "norm" in name for name in differing)


def test_what_streams_is_for_scoring_and_what_trains_is_in_memory(
    tiny_causal: Path, tmp_path: Path
) -> None:
    workspace = unbuilt(tmp_path / "w", tiny_causal, (LEAVER,), "true")
    ensure_base(workspace)
    assert isinstance(scoring_base(workspace), type(stream_base(workspace.base, (), FullWeights())))
    base = load_base(workspace)
    assert all(parameter.device.type == "cpu" for parameter in base.parameters().values())
    assert {tensor.dtype for tensor in base.trainable.values()} == {torch.bfloat16}


def test_a_base_made_before_there_was_a_choice_of_dtype_is_still_the_base(
    tiny_causal: Path, tmp_path: Path
) -> None:
    workspace = make_workspace(tmp_path / "w", tiny_causal, [questions(LEAVER)], labels=())
    ensure_base(workspace)
    before = base_id(workspace)
    origin = json.loads((workspace.root / "base.json").read_text())
    assert not {"dtype", "shard_size"} & origin.keys()
    other = change(workspace, "dtype: float32", "dtype: bfloat16")
    with pytest.raises(UsageError, match="made from other settings"):
        load_base(other)
    ensure_base(other)
    assert json.loads((workspace.root / "base.json").read_text())["dtype"] == "bfloat16"
    assert load_base(other).base_id != before


def test_a_run_says_nothing_of_what_is_as_it_was_before_there_was_a_choice(
    tiny_causal: Path, tmp_path: Path
) -> None:
    """Else every workspace would finetune everyone anew after an upgrade."""
    workspace = make_workspace(tmp_path / "w", tiny_causal, [questions(LEAVER)], labels=())
    ensure_base(workspace)
    before, said = jobs(workspace)[0].run_id, parameters(workspace.settings)
    assert not {"precision", "gradient_checkpointing", "processes"} & said.keys()
    for old, new in (
        ("precision: float32", "precision: bf16"),
        ("gradient_checkpointing: false", "gradient_checkpointing: true"),
        ("processes: 1", "processes: 2"),
    ):
        other = change(workspace, old, new)
        assert jobs(other)[0].run_id != before
        name = old.partition(":")[0]
        assert set(differing(said, other.settings)) == {name}
        assert set(differing(parameters(other.settings), workspace.settings)) == {name}
        (named,) = different_parameters(said, other.settings)
        assert named.remedy == f"set finetune.{name} back to {UNSAID[name]}"
        change(other, new, old)
