"""Killed at any moment, however often: the same final bytes, and nothing left lying about."""

import time
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
ROUNDS = range(8)
"""Two kinds of work × rounds × kills: 160, beside those at chosen points in test_faults.py."""

pytestmark = pytest.mark.slow


def interrupt(work: Callable[[Path], None], place: Workspace, seed: int) -> int:
    """Start the work again and again, each time killed at a moment drawn from its whole length."""
    moments = np.random.default_rng(seed)
    started = time.monotonic()
    killed = killed_after(work, place.root, moments.uniform(0.2, 2.0))
    longest = max(4.0, time.monotonic() - started)
    count = int(killed)
    for _ in range(KILLS - 1):
        count += killed_after(work, place.root, moments.uniform(0.1, longest))
    return count


@pytest.mark.parametrize("seed", ROUNDS)
def test_an_opt_out_killed_at_random_times_ends_the_same(
    built: Workspace,
    without_leaver: bytes,  # noqa: F811
    seed: int,
) -> None:
    request(built, LEAVER)
    assert interrupt(opt_out_plainly, built, seed) > 0
    opt_out_plainly(built.root)
    require_left(built, without_leaver)


@pytest.mark.parametrize("seed", ROUNDS)
def test_a_build_killed_at_random_times_ends_the_same(
    built: Workspace,
    with_newcomer: bytes,  # noqa: F811
    seed: int,
) -> None:
    add(built, reviews("newcomer"))
    assert interrupt(build_plainly, built, seed) > 0
    build_plainly(built.root)
    assert merge_bytes(built) == with_newcomer
    require_tidy(built, versions=[1, 2])
