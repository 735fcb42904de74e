"""Every second counts once, for whoever was at work."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from benchmarks.stopwatch import Stopwatch

SLEEP = 0.02


def sleep() -> str:
    time.sleep(SLEEP)
    return "slept"


@contextmanager
def door() -> Iterator[str]:
    sleep()
    yield "open"
    sleep()


def test_the_inner_component_stops_the_outer_ones_clock() -> None:
    watch = Stopwatch()

    with watch.on("outer"):
        with watch.on("inner"):
            sleep()
        with watch.on("inner"):
            sleep()

    assert watch.seconds["inner"] >= 2 * SLEEP
    assert watch.seconds["outer"] < SLEEP
    assert watch.calls == {"outer": 1, "inner": 2}


def test_watched_functions_and_blocks_count_and_work_as_before() -> None:
    watch = Stopwatch()
    original = sleep

    with watch.watching({"nap": [f"{__name__}:sleep"], "door": [f"{__name__}:door()"]}):
        assert sleep() == "slept"
        with door() as found:
            assert found == "open"
            time.sleep(SLEEP)

    assert sleep is original
    assert watch.calls == {"nap": 3, "door": 1}
    assert watch.seconds["nap"] >= 3 * SLEEP
    assert SLEEP <= watch.seconds["door"] < watch.seconds["nap"]


def test_an_error_stops_the_clock_and_goes_up() -> None:
    watch = Stopwatch()

    with pytest.raises(ZeroDivisionError), watch.on("outer"), watch.on("inner"):
        raise ZeroDivisionError
    before = dict(watch.seconds)
    sleep()
    with watch.on("outer"):
        pass

    assert watch.seconds["outer"] - before["outer"] < SLEEP


def test_other_threads_are_not_counted() -> None:
    watch = Stopwatch()

    def elsewhere() -> None:
        with watch.on("elsewhere"):
            sleep()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()

    assert watch.calls == {}


def test_waiting_takes_no_processor_time() -> None:
    watch = Stopwatch()

    with watch.on("waiting"):
        time.sleep(0.1)

    assert watch.processor["waiting"] < watch.seconds["waiting"] / 2


def test_a_target_that_is_not_there_is_an_error() -> None:
    with (
        pytest.raises(AttributeError),
        Stopwatch().watching({"x": [f"{SimpleNamespace.__module__}:nothing"]}),
    ):
        pass
