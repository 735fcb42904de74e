import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage import LineageConflictError, LineageNotFoundError, OptOutOrderError, Store
from lineage.opt_out import REJECTED, STEPS, UNFULFILLED, may_advance, next_step
from tests.support.population import at, key

REQUEST = "opt-out-0002"


def test_the_steps_come_in_the_order_of_the_design() -> None:
    assert STEPS == (
        "received",
        "identified",
        "approved",
        "removed",
        "verified",
        "evaluated",
        "registered",
        "purged",
        "reported",
    )


@given(attempts=st.lists(st.sampled_from((*STEPS, *UNFULFILLED)), max_size=30))
def test_whatever_is_tried_only_the_next_step_or_an_ending_is_taken(attempts: list[str]) -> None:
    done: list[str] = []
    for step in attempts:
        try:
            taken = may_advance(REQUEST, done, step)
        except OptOutOrderError:
            assert step not in done
            continue
        assert taken == (step not in done)
        if taken:
            done.append(step)
    steps = [step for step in done if step not in UNFULFILLED]
    assert steps == list(STEPS[: len(steps)])
    endings = [step for step in done if step in UNFULFILLED]
    assert endings == [] or endings == done[-1:]
    assert REJECTED not in done or "removed" not in done
    assert (next_step(done) is None) == (bool(endings) or len(steps) == len(STEPS))


def test_a_request_goes_through_all_steps_once(populated: Store) -> None:
    with populated.writer() as recorder:
        assert recorder.receive(key("ada"), "gdpr-art-17", at(30)).request_id == REQUEST
        recorder.process.decide(REQUEST, "approved", "dpo", "identity proven", at(30))
    for number, step in enumerate(STEPS[1:], start=31):
        with populated.writer() as recorder:
            assert recorder.read.next_step(REQUEST) == step
            assert recorder.advance(REQUEST, step, {"try": 1}, at(number)) is True
            assert recorder.advance(REQUEST, step, {"try": 2}, at(number + 5)) is False
    with populated.reader() as reader:
        assert [one.step for one in reader.steps(REQUEST)] == list(STEPS)
        assert all(one.details == {"try": 1} for one in reader.steps(REQUEST)[1:])
        assert reader.next_step(REQUEST) is None
        assert reader.open_request(key("ada")) is None


def test_no_step_can_be_left_out_or_undone(populated: Store) -> None:
    with populated.writer() as recorder:
        recorder.receive(key("ada"), "gdpr-art-17", at(30))
        for early in STEPS[2:]:
            with pytest.raises(OptOutOrderError, match="stands before 'identified'"):
                recorder.advance(REQUEST, early, {}, at(31))
        recorder.advance(REQUEST, "identified", {}, at(31))
        assert recorder.advance(REQUEST, "received", {}, at(32)) is False


def test_a_failed_request_has_a_reason_and_goes_no_further(populated: Store) -> None:
    with populated.writer() as recorder:
        recorder.receive(key("ada"), "gdpr-art-17", at(30))
        assert recorder.fail(REQUEST, "identity not proven", at(31)) is True
        assert recorder.fail(REQUEST, "another reason", at(32)) is False
        with pytest.raises(OptOutOrderError, match="has ended"):
            recorder.advance(REQUEST, "identified", {}, at(33))
        status = recorder.read.sql(
            "SELECT outcome, last_step, steps_done, reason FROM opt_out_status"
            f" WHERE request_id = '{REQUEST}'"
        ).rows
        assert status == (("failed", "failed", 1, "identity not proven"),)
        assert recorder.receive(key("ada"), "gdpr-art-17", at(34)).request_id == "opt-out-0003"


def test_one_open_request_a_contributor(populated: Store) -> None:
    with populated.writer() as recorder:
        recorder.receive(key("ada"), "gdpr-art-17", at(30))
        with pytest.raises(LineageConflictError, match="still open"):
            recorder.receive(key("ada"), "ccpa", at(31))
        recorder.receive(key("bob"), "ccpa", at(31))


def test_unknown_contributors_and_requests_are_wrong_usage(populated: Store) -> None:
    with populated.writer() as recorder:
        with pytest.raises(LineageNotFoundError) as unknown_contributor:
            recorder.receive(key("nobody"), "gdpr-art-17", at(30))
        with pytest.raises(LineageNotFoundError) as unknown_request:
            recorder.advance("opt-out-9999", "identified", {}, at(30))
    assert (unknown_contributor.value.exit_code, unknown_request.value.exit_code) == (2, 2)
