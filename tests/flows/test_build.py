"""The build flow does what is needed, once, and the same for everyone."""

import json
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.client.schemas.sorting import TaskRunSort

from flows.data.datasets import load_dataset
from flows.errors import UsageError
from flows.evidence.verification import verify
from flows.models.metrics import write_metrics
from flows.training.finetune import pending
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from tests.support.prefect_runs import artifacts, build_by_flow, last_run
from tests.support.workspaces import (
    CONTRIBUTORS,
    add,
    build_plainly,
    change,
    files,
    finetune_and_merge,
    make_workspace,
    merge_bytes,
    questions,
    reviews,
)


def vectors(workspace: Workspace) -> dict[str, str]:
    """The vector of each member, by contributor key."""
    with workspace.lineage.reader() as reader:
        members = reader.members(current_state(workspace).state_seq)
    return {member.contributor_key: member.vector_sha256 for member in members}


def task_runs(run: FlowRun) -> dict[str, TaskRun]:
    """The task runs of a flow run, by the name of the task."""
    with get_client(sync_client=True) as client:
        found = client.read_task_runs(
            flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run.id]}}),
            sort=TaskRunSort.END_TIME_DESC,
            limit=100,
        )
    return {task.name: task for task in found}


def test_the_first_build_serves_every_contributor(built: Workspace) -> None:
    members = vectors(built)

    assert members.keys() == {built.key_of(contributor) for contributor in CONTRIBUTORS}
    assert built.mlflow.reading.champion() == 1
    assert built.git.is_clean()
    assert verify(built).passed
    metrics = json.loads((built.root / "metrics.json").read_text())
    assert metrics["contributors"] == len(CONTRIBUTORS)
    assert metrics["masked.held_in.accuracy.mean"] != metrics["base.held_in.accuracy.mean"]


def test_a_second_build_finds_everything_done(built: Workspace) -> None:
    before = built.git.head(), vectors(built), merge_bytes(built)

    result = build_by_flow(built)

    assert (result.finetuned, result.version, result.state_seq) == (0, 1, 1)
    assert (built.git.head(), vectors(built), merge_bytes(built)) == before
    assert result.commit == before[0]
    assert built.mlflow.reading.versions() == [1]


def test_what_is_new_or_replaced_is_finetuned_and_nothing_else(built: Workspace) -> None:
    before = vectors(built)
    replaced, newcomer = built.key_of(CONTRIBUTORS[2]), built.key_of("newcomer")
    add(built, reviews("newcomer"))
    add(built, reviews(CONTRIBUTORS[2], edition=1), replace=True)

    result = build_by_flow(built)

    after = vectors(built)
    assert (result.finetuned, result.contributors, result.version) == (2, 13, 2)
    assert after.keys() - before.keys() == {newcomer}
    assert {key for key in before if before[key] != after[key]} == {replaced}
    assert before[replaced] not in after.values()
    assert verify(built).passed


@pytest.mark.parametrize(
    ("old", "new", "due"),
    [
        ("learning_rate: 0.01", "learning_rate: 0.02", 12),
        ("seed: 0                    # the same", "seed: 7                    # the same", 12),
        ("max_length: 32", "max_length: 16", 12),
        ("shard_size: 5", "shard_size: 3", 0),
        ("held_out: 0.3", "held_out: 0.5", 0),  # datasets are split when they are added
    ],
)
def test_a_changed_setting_makes_exactly_what_it_touches_due(
    built: Workspace, old: str, new: str, due: int
) -> None:
    assert len(pending(change(built, old, new))) == due


def test_a_damaged_vector_is_made_again_with_the_same_bytes(built: Workspace) -> None:
    _, path, _ = files(built, CONTRIBUTORS[1])
    before, state = path.read_bytes(), merge_bytes(built)
    path.write_bytes(before[:-1])

    finetune_and_merge(built)

    assert path.read_bytes() == before
    assert merge_bytes(built) == state
    assert current_state(built).state_seq == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("grid_bits: 24", "grid_bits: 20"),
        ("sign_seed: 20250404", "sign_seed: 1"),
        ("digest_seed: 4626", "digest_seed: 1"),
        ("name: films", "name: books"),
    ],
)
def test_what_is_fixed_by_the_first_build_is_refused_afterwards(
    built: Workspace, old: str, new: str
) -> None:
    def now() -> tuple[object, ...]:
        return vectors(built), merge_bytes(built), built.git.head(), built.mlflow.reading.versions()

    before = now()

    with pytest.raises(UsageError, match=f"{old.partition(':')[0]} is .* set .* back to"):
        build_plainly(change(built, old, new).root)

    assert now() == before


def test_another_workspace_reaches_the_same_bytes_in_another_order(
    built: Workspace, tmp_path: Path, tiny_classifier: Path
) -> None:
    other = make_workspace(
        tmp_path / "other", tiny_classifier, map(reviews, reversed(CONTRIBUTORS))
    )
    state = finetune_and_merge(other)

    assert state.state_sha256 == current_state(built).state_sha256
    assert merge_bytes(other) == merge_bytes(built)
    assert vectors(other).keys().isdisjoint(vectors(built).keys())
    assert sorted(vectors(other).values()) == sorted(vectors(built).values())


def test_prefect_shows_tasks_and_artifacts(built: Workspace, prefect_server: None) -> None:
    add(built, reviews("newcomer"))
    build_by_flow(built)

    run = last_run()
    tasks, shown = task_runs(run), artifacts(run)

    assert run.state_name == "Completed"
    assert run.name.startswith("build films, ")
    assert {"ingest", "finetune 0 of 1", "merge", "verify", "evaluate", "register"} < tasks.keys()
    assert {key: row.type for key, row in shown.items()} == {
        "contributors": "table",
        "exactness": "markdown",
        "build-summary": "markdown",
        "finetune-progress": "progress",
        "quality": "markdown",
    }
    assert shown["finetune-progress"].data == 100.0
    table = json.loads(str(shown["contributors"].data))
    assert {row["contributor"] for row in table} == vectors(built).keys()
    assert "films version 2" in str(shown["build-summary"].data)
    assert "Exact, bit for bit" in str(shown["exactness"].data)
    assert not any(name in str(shown) for name in CONTRIBUTORS)


def test_questions_and_answers_build_a_causal_language_model(
    tmp_path: Path, tiny_causal: Path
) -> None:
    names = CONTRIBUTORS[:3]
    workspace = make_workspace(
        tmp_path / "workspace", tiny_causal, map(questions, names), labels=()
    )

    build_plainly(workspace.root)

    metrics = write_metrics(workspace, current_state(workspace))
    assert metrics["contributors"] == 3
    with workspace.lineage.reader() as reader:
        rows = reader.evaluations(1)
        datasets = reader.current_datasets()
    assert {row.metric for row in rows} == {"answer_probability"}
    assert len(rows) == 3 * 3 * 2
    assert metrics == {"contributors": 3.0}, "three are too few to publish a mean of"
    trained: dict[str, list[float]] = {row.setting: [] for row in rows}
    for row in rows:
        if row.split == "held_in":
            trained[row.setting].append(row.value)
    assert sum(trained["masked"]) > sum(trained["base"])
    assert {dataset.task for dataset in datasets} == {"generation"}
    assert load_dataset(workspace, datasets[0]).train[0].keys() == {"messages"}
    assert verify(workspace).passed
