from typing import Any

import pytest

from lineage import (
    ContributorRecord,
    EvaluationRecord,
    LineageConflictError,
    LineageNotFoundError,
    LinearDigestRecord,
    PurgeObjectRecord,
    Recorder,
    Store,
)
from tests.support.population import (
    BASE,
    MODEL,
    at,
    contribute,
    dataset,
    finetuning,
    key,
    merge,
    run_id,
    sha,
)


def test_the_same_fact_again_is_nothing_new(populated: Store) -> None:
    later = ContributorRecord(contributor_key=key("ada"), external_id="ada", added_at=at(30))
    with populated.writer() as recorder:
        assert recorder.add(later) is False
        assert recorder.add(BASE) is False
        assert recorder.add(dataset("ada", "first", day=30)) is False
        assert recorder.read.contributor(key("ada")).added_at == at(2)


@pytest.mark.parametrize(
    "change",
    [{"external_id": "somebody else"}, {"external_id": None}],
    ids=["another id", "no id"],
)
def test_a_known_contributor_never_gets_another_id(
    populated: Store, change: dict[str, Any]
) -> None:
    record = ContributorRecord(contributor_key=key("ada"), external_id="ada", added_at=at(2))
    with pytest.raises(LineageConflictError, match="other values"), populated.writer() as recorder:
        recorder.add(record.model_copy(update=change))


def test_a_digest_never_changes(populated: Store) -> None:
    subject = sha("vector ada first")
    with populated.writer() as recorder:
        known = finetuning("ada", "first", day=2)[2:]
        assert recorder.add_all(known) == 0
    with pytest.raises(LineageConflictError, match="linear_digest"), populated.writer() as recorder:
        recorder.add(LinearDigestRecord(subject=subject, lane=0, value=1))


def test_two_records_with_one_key_at_once_are_refused(store: Store) -> None:
    twin = ContributorRecord(contributor_key=key("eve"), external_id="eve", added_at=at(1))
    with pytest.raises(LineageConflictError, match="twice"), store.writer() as recorder:
        recorder.add_all([twin, twin])


def test_an_evaluation_again_replaces_the_first(populated: Store) -> None:
    again = EvaluationRecord(
        state_seq=3,
        contributor_key=key("ada"),
        setting="masked",
        split="held_out",
        metric="accuracy",
        value=1.0,
        row_count=6,
        evaluated_at=at(31),
    )
    with populated.writer() as recorder:
        before = len(recorder.read.evaluations(3))
        recorder.add(again)
        assert again in recorder.read.evaluations(3)
        assert len(recorder.read.evaluations(3)) == before


def test_data_that_was_superseded_can_be_current_again(populated: Store) -> None:
    with populated.writer() as recorder:
        contribute(recorder, "bob", "first", day=30)
        current = {one.contributor_key: one for one in recorder.read.current_datasets()}
    assert current[key("bob")].sha256 == sha("data bob first")
    assert current[key("bob")].added_at == at(30)


def test_one_champion_at_a_time_and_each_once(populated: Store) -> None:
    with populated.writer() as recorder:
        versions = recorder.read.model_versions()
        assert [one.champion_to for one in versions] == [at(11), at(20), None]
        assert recorder.read.champion(MODEL) == versions[-1]
        assert recorder.set_champion(MODEL, 3, at(30)) is False
        with pytest.raises(LineageConflictError, match="cannot serve again"):
            recorder.set_champion(MODEL, 1, at(30))
        with pytest.raises(LineageNotFoundError):
            recorder.set_champion(MODEL, 9, at(30))


@pytest.mark.parametrize(
    "used",
    [
        {"datasets": [(key("ada"), sha("data ada first"))]},
        {"runs": [run_id("ada", "first")]},
        {"states": [3]},
        {"versions": [(MODEL, 3)]},
    ],
    ids=lambda used: next(iter(used)),
)
def test_what_is_in_use_is_never_marked_destroyed(populated: Store, used: dict[str, Any]) -> None:
    with pytest.raises(LineageConflictError, match="in use"), populated.writer() as recorder:
        recorder.mark_artifacts_destroyed(at(30), **used)


@pytest.mark.parametrize(
    "unknown",
    [
        {"datasets": [(key("ada"), sha("nothing"))]},
        {"runs": ["nothing"]},
        {"states": [99]},
        {"versions": [(MODEL, 99)]},
    ],
    ids=lambda unknown: next(iter(unknown)),
)
def test_what_was_never_recorded_cannot_be_destroyed(
    populated: Store, unknown: dict[str, Any]
) -> None:
    with pytest.raises(LineageNotFoundError), populated.writer() as recorder:
        recorder.mark_artifacts_destroyed(at(30), **unknown)


def test_the_first_time_of_destruction_stands(populated: Store) -> None:
    with populated.writer() as recorder:
        recorder.mark_artifacts_destroyed(at(50), states=[1, 2], runs=[run_id("cyd", "first")])
        recorder.mark_erased(key("cyd"), at(50))
        assert recorder.read.state(1).destroyed_at == at(20)
        assert recorder.read.task_vector(run_id("cyd", "first")).destroyed_at == at(20)
        assert recorder.read.contributor(key("cyd")).erased_at == at(20)


def test_dropped_magnitudes_leave_a_member_with_a_mask(populated: Store) -> None:
    ada = run_id("ada", "first")
    with populated.writer() as recorder:
        recorder.mark_vectors_dropped([ada], at(30))
        recorder.mark_vectors_dropped([ada, run_id("dan", "first")], at(31))
        dropped = recorder.read.task_vector(ada)
        assert (dropped.dropped_at, dropped.destroyed_at) == (at(30), None)
        assert dropped in recorder.read.task_vectors()
        gone = recorder.read.sql(
            "SELECT kind, destroyed_at IS NOT NULL FROM contributor_impact"
            " WHERE external_id = 'ada' AND kind IN ('mask', 'task vector') ORDER BY kind"
        )
        assert gone.rows == (("mask", False), ("task vector", True))
        recorder.mark_vectors_kept([ada])
        assert recorder.read.task_vector(ada).dropped_at is None
    with pytest.raises(LineageNotFoundError, match="nothing"), populated.writer() as recorder:
        recorder.mark_vectors_dropped([ada, "nothing"], at(40))
    with populated.reader() as reader:
        assert reader.task_vector(ada).dropped_at is None


def test_a_member_is_never_erased(populated: Store) -> None:
    with (
        pytest.raises(LineageConflictError, match="member of the current"),
        populated.writer() as recorder,
    ):
        recorder.mark_erased(key("ada"), at(30))


def test_erasing_takes_the_id_and_leaves_the_key(populated: Store) -> None:
    with populated.reader() as reader:
        assert reader.contributor(key("cyd")).external_id is None
        assert key("cyd") in {row[0] for row in reader.sql("FROM contributor_impact").rows}
        assert reader.sql("SELECT * FROM contributor WHERE external_id = 'cyd'").rows == ()


def plan(recorder: Recorder, request_id: str, locator: str) -> int:
    return recorder.plan_purge(
        [
            PurgeObjectRecord(
                request_id=request_id,
                place="workspace",
                kind="mask",
                locator=locator,
                planned_at=at(30),
            )
        ]
    )


def test_planning_again_keeps_what_was_done_already(populated: Store) -> None:
    with populated.writer() as recorder:
        request_id = recorder.receive(key("ada"), "gdpr-art-17", at(30)).request_id
        assert plan(recorder, request_id, "masks/a") == 1
        recorder.mark_destroyed(request_id, "workspace", "masks/a", at(31))
        assert plan(recorder, request_id, "masks/a") == 0
        recorder.mark_absent(request_id, "workspace", "masks/a", at(32))
        recorder.mark_absent(request_id, "workspace", "masks/a", at(33))
        (only,) = recorder.read.purge_objects(request_id)
        assert (only.destroyed_at, only.absent_at) == (at(31), at(32))
        with pytest.raises(LineageNotFoundError):
            recorder.mark_destroyed(request_id, "workspace", "masks/b", at(31))


def test_every_reference_leads_somewhere(populated: Store) -> None:
    with populated.reader() as reader:
        assert reader.sql("SELECT * FROM orphans").rows == ()
    with populated.writer() as recorder:
        recorder.add(LinearDigestRecord(subject=sha("nothing"), lane=0, value=1))
        recorder.add(dataset("eve", "first", day=30))
        found = recorder.read.sql("SELECT table_name, missing_in FROM orphans ORDER BY ALL").rows
    assert found == (
        ("dataset_version", "contributor"),
        ("linear_digest", "task_vector or merge_state"),
    )


def test_merging_needs_no_more_than_what_changed(populated: Store) -> None:
    with populated.writer() as recorder:
        merge(recorder, {"ada": "first", "bob": "second"}, "update", day=30)
        rows = recorder.read.sql(
            "SELECT from_seq, to_seq FROM membership ORDER BY contributor_key, from_seq"
        ).rows
    assert sorted(rows, key=str) == [(1, 2), (1, 3), (1, None), (2, 4), (2, None)]
