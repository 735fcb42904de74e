"""Killed at any moment, however often: the same final bytes, and nothing left lying about."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flows.workspace import Workspace
from tests.flows.killed import killed_after
from tests.flows.test_exactness import merge_bytes
from tests.flows.test_faults import (
    LEAVER,
    require_left,
    require_tidy,
    with_newcomer,  # noqa: F401  a fixture
    without_leaver,  # noqa: F401  a fixture
)
from tests.flows.workspaces import add, build_plainly, opt_out_plainly, request, reviews

KILLS = 10
ROUNDS = range(11)
LONGEST = 4.0
"""Seconds that the work takes when it is not killed: moments are drawn from these."""

landed: list[int] = []
"""How many kills of each life found the work alive: a few come when it has just ended."""

pytestmark = pytest.mark.slow


def interrupt(work: Callable[[Path], None], place: Workspace, seed: int) -> None:
    """Start the work again and again, each time killed at a moment drawn from its whole length."""
    moments = np.random.default_rng(seed).uniform(0.1, LONGEST, KILLS)
    landed.append(sum(killed_after(work, place.root, moment) for moment in moments))
    assert landed[-1] > 0


@pytest.mark.parametrize("seed", ROUNDS)
def test_an_opt_out_killed_at_random_times_ends_the_same(
    built: Workspace,
    without_leaver: bytes,  # noqa: F811
    seed: int,
) -> None:
    request(built, LEAVER)
    interrupt(opt_out_plainly, built, seed)
    opt_out_plainly(built.root)
    require_left(built, without_leaver)


@pytest.mark.parametrize("seed", ROUNDS)
def test_a_build_killed_at_random_times_ends_the_same(
    built: Workspace,
    with_newcomer: bytes,  # noqa: F811
    seed: int,
) -> None:
    add(built, reviews("newcomer"))
    interrupt(build_plainly, built, seed)
    build_plainly(built.root)
    assert merge_bytes(built) == with_newcomer
    require_tidy(built, versions=[1, 2])


def test_two_hundred_kills_found_their_work_alive() -> None:
    """Those at chosen points, in test_faults.py, come on top."""
    assert len(landed) == 2 * len(ROUNDS), "run this file as a whole"
    assert sum(landed) >= 200, landed
