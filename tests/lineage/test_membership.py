from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage import LineageConflictError, Store
from tests.support.lineage_stores import Copies, Engine
from tests.support.population import (
    BASE,
    ENVIRONMENT,
    LANES,
    MODEL,
    at,
    contribute,
    finetuning,
    key,
    merge,
    new_state,
    run_id,
)

NAMES = ("ada", "bob", "cyd", "dan", "eve")
DATA = ("first", "second")
# Each state is the whole membership {name: data}: any mix of joining, leaving and replacing.
histories = st.lists(
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(DATA), max_size=len(NAMES)),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="session")
def all_finetuned(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Copies:
    def finetune_all(store: Store) -> None:
        with store.writer() as recorder:
            recorder.add_all([BASE, ENVIRONMENT])
            recorder.add_all(
                record
                for name in NAMES
                for data in DATA
                for record in finetuning(name, data, day=1)
            )

    return engine.kept(finetune_all, tmp_path_factory.mktemp("finetuned"))


@settings(max_examples=12, deadline=None)
@given(history=histories)
def test_any_history_of_joining_leaving_and_replacing_is_remembered(
    all_finetuned: Copies, history: list[dict[str, str]]
) -> None:
    with TemporaryDirectory() as folder:
        store = all_finetuned(Path(folder))
        with store.writer() as recorder:
            for number, members in enumerate(history, start=1):
                runs = {key(name): run_id(name, data) for name, data in members.items()}
                how = "rebuild" if number == 1 else "update"
                assert recorder.record_state(new_state(members, how, day=number), runs) == number
        with store.reader() as reader:
            for number, members in enumerate(history, start=1):
                wanted = {(key(name), run_id(name, data)) for name, data in members.items()}
                by_state = reader.members(number)
                assert {(one.contributor_key, one.run_id) for one in by_state} == wanted
                assert len(by_state) == len(wanted)
                # State k was current from noon of day k to noon of day k + 1.
                assert members_on(store, number + 0.5) == wanted
            assert members_on(store, 0.5) == set()
            assert overlapping(store) == 0


def members_on(store: Store, day: float) -> set[tuple[str, str]]:
    """Return the members at a moment, by the times alone."""
    moment = f"TIMESTAMP '{at(day):%Y-%m-%d %H:%M:%S}'"
    with store.reader() as reader:
        rows = reader.sql(
            "SELECT contributor_key, run_id FROM membership"
            f" WHERE valid_from <= {moment} AND (valid_to IS NULL OR valid_to > {moment})"
        ).rows
    assert len(set(rows)) == len(rows)
    return {(str(who), str(run)) for who, run in rows}


def overlapping(store: Store) -> int:
    """Count the pairs of stays of one contributor that share a state."""
    with store.reader() as reader:
        return len(
            reader.sql(
                "SELECT 1 FROM membership AS a JOIN membership AS b"
                " ON a.contributor_key = b.contributor_key AND a.from_seq < b.from_seq"
                " AND (a.to_seq IS NULL OR a.to_seq > b.from_seq)"
            ).rows
        )


def test_a_state_may_have_no_members_left(store: Store) -> None:
    with store.writer() as recorder:
        recorder.add_all([BASE, ENVIRONMENT])
        contribute(recorder, "ada", "first", day=1)
        merge(recorder, {"ada": "first"}, "rebuild", day=2)
        last = merge(recorder, {}, "opt-out", day=3)
    with store.reader() as reader:
        assert reader.members(last) == []
        assert [lane.members_sum for lane in reader.digest_check(last)] == [0] * LANES
        assert all(lane.equal for lane in reader.digest_check(last))
        assert [lane.equal for lane in reader.digest_check(1)] == [True] * LANES


def test_the_same_members_again_may_be_the_same_bytes_under_a_new_number(
    store: Store,
) -> None:
    with store.writer() as recorder:
        recorder.add_all([BASE, ENVIRONMENT])
        contribute(recorder, "ada", "first", day=1)
        contribute(recorder, "bob", "first", day=1)
        first = merge(recorder, {"ada": "first"}, "rebuild", day=2)
        merge(recorder, {"ada": "first", "bob": "first"}, "update", day=3)
        third = merge(recorder, {"ada": "first"}, "opt-out", day=4)
    with store.reader() as reader:
        assert reader.state(first).state_sha256 == reader.state(third).state_sha256
        assert reader.state(third).parent_seq == 2
        assert reader.members(first) == reader.members(third)
        assert all(lane.equal for seq in (1, 2, 3) for lane in reader.digest_check(seq))


def test_which_contributors_were_in_a_version_on_a_day_is_one_query(
    populated: Store,
) -> None:
    question = (
        "SELECT contributor_key FROM model_version_members WHERE name = '{}' AND version = {}"
        " AND valid_from <= TIMESTAMP '{}' AND (valid_to IS NULL OR valid_to > TIMESTAMP '{}')"
    )

    def asked(version: int, day: str) -> set[str]:
        with populated.reader() as reader:
            return {row[0] for row in reader.sql(question.format(MODEL, version, day, day)).rows}

    everyone = {key(name) for name in ("ada", "bob", "cyd", "dan")}
    assert asked(2, "2026-01-15") == everyone
    assert asked(2, "2026-01-25") == everyone - {key("cyd")}
    assert asked(3, "2026-01-25") == everyone - {key("cyd")}
    assert asked(2, "2026-01-02") == set()


def test_a_member_whose_finetuning_is_not_recorded_is_refused(populated: Store) -> None:
    members = {"ada": "first", "bob": "third"}
    runs = {key(name): run_id(name, data) for name, data in members.items()}
    with pytest.raises(LineageConflictError, match="not recorded"), populated.writer() as recorder:
        recorder.record_state(new_state(members, "update", day=30), runs)


def test_a_member_with_somebody_elses_finetuning_is_refused(populated: Store) -> None:
    runs = {key("ada"): run_id("bob", "second")}
    with pytest.raises(LineageConflictError, match="not recorded"), populated.writer() as recorder:
        recorder.record_state(new_state({"ada": "first"}, "update", day=30), runs)


def test_a_member_whose_vector_was_destroyed_is_refused(populated: Store) -> None:
    runs = {key("cyd"): run_id("cyd", "first")}
    with pytest.raises(LineageConflictError, match="destroyed"), populated.writer() as recorder:
        recorder.record_state(new_state({"cyd": "first"}, "update", day=30), runs)


def test_a_member_of_another_base_is_refused(populated: Store) -> None:
    state = new_state({"ada": "first"}, "update", day=30).model_copy(update={"base_id": "0" * 64})
    runs = {key("ada"): run_id("ada", "first")}
    with pytest.raises(LineageConflictError, match="another base"), populated.writer() as recorder:
        recorder.record_state(state, runs)


def test_a_state_from_before_the_current_one_is_refused(populated: Store) -> None:
    state = new_state({}, "update", day=20)
    earlier = state.model_copy(update={"created_at": state.created_at - timedelta(seconds=1)})
    with pytest.raises(LineageConflictError, match="clock"), populated.writer() as recorder:
        recorder.record_state(earlier, {})


def test_a_contributor_who_comes_back_is_known_again(populated: Store) -> None:
    with populated.writer() as recorder:
        contribute(recorder, "cyd", "first", day=40)
        members = {"ada": "first", "bob": "second", "cyd": "first", "dan": "first"}
        last = merge(recorder, members, "update", day=41)
    with populated.reader() as reader:
        assert reader.contributor(key("cyd")).external_id == "cyd"
        stays = reader.sql(
            f"SELECT from_seq, to_seq FROM membership WHERE contributor_key = '{key('cyd')}'"
            " ORDER BY from_seq"
        ).rows
        assert stays == ((1, 3), (last, None))
        assert reader.sql("SELECT * FROM orphans").rows == ()
