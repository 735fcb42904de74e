"""A build that waits for nobody says so."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from flows.progress import listening
from flows.training.workers.attendance import Attendance
from tests.support.pools import LocalPool


@dataclass
class Attended(LocalPool):
    """A pool whose workers come and go; asked, it takes the next of these answers."""

    answers: Iterator[bool] = field(default_factory=lambda: iter(()))

    def is_attended(self) -> bool:
        return next(self.answers)


def told(answers: list[bool], waits: list[bool], ask_seconds: float = 0.0) -> list[int]:
    """What a listener hears of a build that waits so, tick by tick: 0 missing, 1 there again."""
    heard: list[int] = []
    attendance = Attendance(Attended(None, answers=iter(answers)), ask_seconds)  # type: ignore[arg-type]
    with listening(lambda what, done, total: heard.append(done)):
        for all_wait in waits:
            attendance.look(all_wait=all_wait)
    return heard


def test_it_is_told_once_that_nobody_is_there_and_once_that_somebody_is() -> None:
    assert told([False, False, True, True], [True] * 4) == [0, 1]


def test_work_that_has_begun_again_ends_the_waiting_without_a_question() -> None:
    assert told([False], [True, False, False]) == [0, 1]


def test_work_that_is_going_on_asks_nobody() -> None:
    assert told([], [False] * 3) == []


def test_a_pool_that_was_heard_of_just_now_is_not_asked() -> None:
    assert told([], [True] * 3, ask_seconds=60.0) == []


def test_the_log_says_how_to_start_a_worker(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", logger="sift"):
        told([False], [True])

    (record,) = caplog.records
    assert record.__dict__["remedy"] == "start one: sift workers start here"
