"""Long work gives a sign of life, also where nobody has a terminal."""

import subprocess
import sys
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flows.cli.progress import AT_ONCE, SECONDS, Lines


class Log:
    """Lines on a clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0
        self.said: list[tuple[float, str]] = []
        self.lines = Lines(lambda line: self.said.append((self.now, line)), lambda: self.now)

    def wait(self, seconds: float) -> None:
        """Let time pass as the heart does, which beats when it must."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + max(self.lines.silence(), 0.001))
            self.lines.beat()


def test_a_kind_of_work_is_told_when_it_begins_and_when_it_ends() -> None:
    log = Log()
    log.wait(AT_ONCE)
    for done in range(4):
        log.lines.hear("Finetuning", done, 3)
        log.wait(1)
    log.lines.hear("Adding up vectors", 0, 2)
    assert [line for _, line in log.said] == [
        "Working, 2 s",
        "Finetuning 0 of 3, 0 s",
        "Finetuning 3 of 3, 3 s",
        "Adding up vectors 0 of 2, 0 s",
    ]


def test_work_within_other_work_leaves_that_its_time() -> None:
    log = Log()
    log.wait(AT_ONCE)
    log.lines.hear("Opting out", 0, 2)
    for _ in range(2):
        for done in range(2):
            log.lines.hear("Evaluating", done, 1)
            log.wait(3)
    log.lines.hear("Opting out", 1, 2)
    assert [line for _, line in log.said] == [
        "Working, 2 s",
        "Opting out 0 of 2, 0 s",
        "Evaluating 0 of 1, 0 s",
        "Evaluating 1 of 1, 3 s",
        "Evaluating 1 of 1, 3 s",
        "Opting out 1 of 2, 12 s",
    ]


def test_work_that_tells_nothing_is_heard_of_all_the_same() -> None:
    log = Log()
    log.wait(2.5 * SECONDS)
    log.lines.hear("Merging", 0, 8)
    log.wait(1.5 * SECONDS)
    assert [line for _, line in log.said] == [
        "Working, 2 s",
        "Working, 12 s",
        "Working, 22 s",
        "Merging 0 of 8, 0 s",
        "Merging 0 of 8, 10 s",
    ]


@given(st.lists(st.tuples(st.floats(0, 45), st.integers(0, 30)), max_size=12))
def test_silence_is_never_longer_than_ten_seconds_and_no_line_is_there_twice(
    story: list[tuple[float, int]],
) -> None:
    log = Log()
    for seconds, done in story:
        log.lines.hear("Evaluating", done, 30)
        log.wait(seconds)
    times = [0.0, *(at for at, _ in log.said), log.now]
    assert all(later - at <= SECONDS + 0.01 for at, later in pairwise(times))


def test_of_what_is_done_at_once_nothing_is_said() -> None:
    log = Log()
    for what in ("Reading rows", "Merging", "Evaluating"):
        log.lines.hear(what, 0, 1)
        log.wait(AT_ONCE / 4)
        log.lines.hear(what, 1, 1)
    assert log.said == []


def test_lines_go_to_standard_error_and_nothing_of_them_to_standard_output() -> None:
    work = (
        "from flows.cli import progress as own\n"
        "from flows.cli.progress import progress\n"
        "from flows.progress import tracked\n"
        "import time\n"
        "own.AT_ONCE = 0.1\n"
        "for quiet in (False, True):\n"
        "    with progress(quiet=quiet):\n"
        "        time.sleep(0.4)\n"
        "        list(tracked('Counting [red]sheep', range(2), 2))\n"
    )
    ran = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    assert ran.stderr.splitlines() == [
        "Working, 0 s",
        "Counting [red]sheep 0 of 2, 0 s",
        "Counting [red]sheep 2 of 2, 0 s",
    ]
