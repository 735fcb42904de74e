"""What is known is not measured again, and what is measured does not grow with the members."""

import json
from pathlib import Path

import pytest

import sift_core
from flows.models import evaluate
from flows.models.measures import MARGIN
from flows.models.sample import sample
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from lineage import EvaluationRecord, Member
from tests.support.sift import Sift
from tests.support.workspaces import (
    CONTRIBUTORS,
    add,
    build_plainly,
    change,
    make_workspace,
    opt_out_plainly,
    request,
    reviews,
)

LEAVER = CONTRIBUTORS[4]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets one number, the records, whenever a model is scored on one's rows."""
    calls: list[int] = []
    evaluate = sift_core.evaluate

    def counted(model: object, examples: sift_core.Encoded, batch_size: int) -> object:
        calls.append(len(examples.records))
        return evaluate(model, examples, batch_size)  # type: ignore[arg-type]

    monkeypatch.setattr(sift_core, "evaluate", counted)
    return calls


def evaluations(workspace: Workspace) -> tuple[list[Member], list[EvaluationRecord]]:
    with workspace.lineage.reader() as reader:
        seq = current_state(workspace).state_seq
        return reader.members(seq), reader.evaluations(seq)


def told(rows: list[EvaluationRecord]) -> set[tuple[object, ...]]:
    """What rows say, whichever state they are of."""
    return {(r.contributor_key, r.setting, r.split, r.metric, r.value, r.row_count) for r in rows}


def test_the_base_model_is_not_scored_again_when_somebody_leaves(
    built: Workspace, measured: list[int]
) -> None:
    opt_out_plainly(built.root, request(built, LEAVER).request_id)
    stay = len(CONTRIBUTORS) - 1
    assert len(measured) == 2 * (stay + 1) + 2 * stay, "both splits, merged of all, masked of these"


def test_a_state_that_is_the_same_again_is_not_scored_again(
    built: Workspace, measured: list[int]
) -> None:
    """Somebody comes and leaves; then it is as if they had never been there."""
    _, before = evaluations(built)
    add(built, reviews("newcomer"))
    build_plainly(built.root)
    measured.clear()
    opt_out_plainly(built.root, request(Workspace.open(built.root), "newcomer").request_id)
    assert len(measured) == 2, "unmasked, on both splits of who has left"
    members, after = evaluations(built)
    staying = {member.contributor_key for member in members}
    assert told([row for row in after if row.contributor_key in staying]) == told(before)


def scored(workspace: Workspace) -> list[EvaluationRecord]:
    """All that is said of the current state, as if nothing were known of this one yet."""
    state = current_state(workspace)
    with workspace.lineage.reader() as reader:
        members = reader.members(state.state_seq)
        datasets = {row.contributor_key: row for row in reader.member_datasets(state.state_seq)}
    asked = [evaluate._Asked(datasets[one.contributor_key], one) for one in members]
    scoring = evaluate._Scoring(workspace, state, len(members))
    return [row for rows in scoring.of(asked, known=()) for row in rows]


def test_what_is_taken_from_lineage_is_what_a_measurement_gives(
    built: Workspace, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    opt_out_plainly(built.root, request(built, LEAVER).request_id)
    measured.clear()
    known = scored(built)
    assert measured == []
    monkeypatch.setattr(evaluate, "_HOW", 2)
    assert told(scored(built)) == told(known)
    assert len(measured) == 6 * (len(CONTRIBUTORS) - 1)


def test_other_settings_are_measured_anew(built: Workspace, measured: list[int]) -> None:
    for old, new in (("scored_at_once: 32", "scored_at_once: 7"), ("threads: 1", "threads: 2")):
        measured.clear()
        scored(change(built, old, new))
        assert len(measured) == 6 * len(CONTRIBUTORS)


def test_some_are_measured_the_same_before_and_after_and_all_where_asked(
    tmp_path: Path, tiny_classifier: Path, sift: Sift
) -> None:
    names = [f"film {number}" for number in range(13)]
    made = make_workspace(tmp_path / "films", tiny_classifier, [reviews(name) for name in names])
    workspace = change(made, "members: 50", "members: 10")
    build_plainly(workspace.root)
    members, before = evaluations(workspace)
    drawn = {member.contributor_key for member in sample(members, 10)}
    assert {row.contributor_key for row in before} == drawn
    metrics = json.loads((workspace.root / "metrics.json").read_text())
    margins = [value for name, value in metrics.items() if name.endswith(MARGIN)]
    assert len(margins) == 6 and any(margins)

    leaver = next(name for name in names if workspace.key_of(name) in drawn)
    opt_out_plainly(workspace.root, request(workspace, leaver).request_id)
    _, after = evaluations(workspace)
    masked = {row.contributor_key for row in after if row.setting == "masked"}
    assert len(masked) == 10 and drawn - masked == {workspace.key_of(leaver)}

    ended = sift("evaluate", "--all", "--workspace", str(workspace.root), "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert (found["members"], found["scored"]) == (12, 12)
    assert not any(value for name, value in found["metrics"].items() if name.endswith(MARGIN))
    _, everybody = evaluations(workspace)
    assert told(after) <= told(everybody)
