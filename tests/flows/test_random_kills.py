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
            workspace, started = self.begin(), time.monotonic()
            assert not killed_after(self.work, workspace.root, 600)
            taken.append(time.monotonic() - started)
        return min(taken)

    def live(self, seed: int) -> None:
        """Kill the work again and again, at moments drawn from its whole length, then let it end.

        Where it ends before its moment it begins afresh, until KILLS have found it alive.
        """
        random = np.random.default_rng(seed)
        workspace, alive = self.begin(), 0
        while alive < KILLS:
            if killed_after(self.work, workspace.root, random.uniform(0.1, self.seconds)):
                alive += 1
            else:
                assert merge_bytes(workspace) == self.merge
                workspace = self.begin()
        self.work(workspace.root)
        self.require_ended(workspace)
        landed.append(alive)


@pytest.fixture(scope="module")
def leaving(_built: Snapshot, without_leaver: bytes) -> Life:
    def begin() -> Workspace:
        workspace = _built.restore()
        request(workspace, LEAVING)
        return workspace

    def require_gone(workspace: Workspace) -> None:
        require_left(workspace, without_leaver)

    return Life(begin, opt_out_plainly, without_leaver, require_gone)


@pytest.fixture(scope="module")
def joining(_built: Snapshot, with_newcomer: bytes) -> Life:
    def begin() -> Workspace:
        workspace = _built.restore()
        add(workspace, reviews("newcomer"))
        return workspace

    def require_built(workspace: Workspace) -> None:
        assert merge_bytes(workspace) == with_newcomer
        require_tidy(workspace, versions=[1, 2])

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
