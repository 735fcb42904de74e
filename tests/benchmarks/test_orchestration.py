"""The profile of a build names every part, and its shares are what they say."""

import pytest

from benchmarks import orchestration
from benchmarks.orchestration import ORCHESTRATION, Profile, figures_of, measure, table
from benchmarks.stopwatch import Stopwatch


def profile(contributors: int = 500, training: float = 50.0, lineage: float = 5.0) -> Profile:
    """A made-up measurement."""
    seconds = {"training": training, "Prefect": 15.0, "lineage": lineage, "DVC": 2.0, "merge": 3.0}
    seconds["opening lineage"] = 0.0
    return Profile(
        contributors=contributors,
        steps=10,
        seconds=seconds,
        processor=seconds,
        calls=dict.fromkeys(seconds, 1),
        loads=1,
        peak_bytes=2**30,
    )


def test_a_share_is_of_half_a_second_of_training_each() -> None:
    orchestration, loads, rest = figures_of(profile())

    assert orchestration.value == pytest.approx(22 / (22 + 250))
    assert (orchestration.met, loads.value, loads.met) == (True, 1, True)
    assert rest.value == pytest.approx(25 / (25 + 250))
    assert orchestration.detail["seconds"]["lineage"] == 5.0
    assert orchestration.detail["share_of_this_run"] == pytest.approx(22 / 75)


def test_quicker_training_does_not_raise_the_share() -> None:
    assert (
        figures_of(profile(training=1.0))[0].value == figures_of(profile(training=200.0))[0].value
    )


def test_too_much_orchestration_is_not_met() -> None:
    assert not figures_of(profile(lineage=60.0))[0].met


def test_what_is_watched_is_there() -> None:
    """A renamed function must not drop out of the profile without a word."""
    watch = Stopwatch()
    with (
        watch.watching(orchestration._WATCHED),
        watch.watching(orchestration._task_bodies()) as _,
    ):
        pass

    assert set(orchestration._TASKS.values()) <= orchestration._task_bodies().keys()


def test_the_table_has_a_line_for_every_component() -> None:
    assert table(profile()).row_count == 6


@pytest.mark.slow
def test_a_real_build_is_measured_whole() -> None:
    measured = measure(contributors=6, steps=1)

    assert measured.loads == 1
    assert measured.calls["training"] == 3 * 6 * 1
    assert measured.calls["opening lineage"] <= 20, "of a build, whoever its contributors are"
    assert {*ORCHESTRATION, "training", "merge", "verify", "evaluate"} <= measured.seconds.keys()
    assert all(seconds >= 0 for seconds in measured.seconds.values())
