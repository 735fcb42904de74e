"""Killed at any moment, however often: the same final bytes, and nothing left lying about."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from flows.workspace.workspace import Workspace
from tests.support.killed import killed_after
from tests.support.tidy import LEAVING, require_left, require_tidy
from tests.support.workspaces import (
    Snapshot,
    add,
    build_plainly,
    merge_bytes,
    opt_out_plainly,
    request,
    reviews,
)

KILLS = 10
ROUNDS = range(11)

landed: list[int] = []
"""How many kills of each life found the work alive."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@dataclass
class Life:
    """Work that can be begun afresh, done in a process, and looked at when it has ended."""

    begin: Callable[[], Workspace]
    work: Callable[[Path], None]
    merge: bytes
    """What it ends in."""
    require_ended: Callable[[Workspace], None]
    """All else that there is to look at, which takes longer than the work."""

    @cached_property
    def seconds(self) -> float:
        """What the work takes on this machine when nobody kills it."""
        taken = []
        for _ in range(2):  # the first starts the fork server, too
            place, started = self.begin(), time.monotonic()
            assert not killed_after(self.work, place.root, 600)
            taken.append(time.monotonic() - started)
        return min(taken)

    def live(self, seed: int) -> None:
        """Kill the work again and again, at moments drawn from its whole length, then let it end.

        Where it ends before its moment it begins afresh, until KILLS have found it alive.
        """
        random = np.random.default_rng(seed)
        place, alive = self.begin(), 0
        while alive < KILLS:
            if killed_after(self.work, place.root, random.uniform(0.1, self.seconds)):
                alive += 1
            else:
                assert merge_bytes(place) == self.merge
                place = self.begin()
        self.work(place.root)
        self.require_ended(place)
        landed.append(alive)


@pytest.fixture(scope="module")
def leaving(_built: Snapshot, without_leaver: bytes) -> Life:
    def begin() -> Workspace:
        place = _built.restore()
        request(place, LEAVING)
        return place

    def require_gone(place: Workspace) -> None:
        require_left(place, without_leaver)

    return Life(begin, opt_out_plainly, without_leaver, require_gone)


@pytest.fixture(scope="module")
def joining(_built: Snapshot, with_newcomer: bytes) -> Life:
    def begin() -> Workspace:
        place = _built.restore()
        add(place, reviews("newcomer"))
        return place

    def require_built(place: Workspace) -> None:
        assert merge_bytes(place) == with_newcomer
        require_tidy(place, versions=[1, 2])

    return Life(begin, build_plainly, with_newcomer, require_built)


@pytest.mark.parametrize("seed", ROUNDS)
def test_an_opt_out_killed_at_random_times_ends_the_same(leaving: Life, seed: int) -> None:
    leaving.live(seed)


@pytest.mark.parametrize("seed", ROUNDS)
def test_a_build_killed_at_random_times_ends_the_same(joining: Life, seed: int) -> None:
    joining.live(seed)


def test_two_hundred_kills_found_their_work_alive() -> None:
    """Those at chosen points, in test_faults.py, come on top."""
    assert len(landed) == 2 * len(ROUNDS), "run this file as a whole"
    assert sum(landed) >= 200, landed
