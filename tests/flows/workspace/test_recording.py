"""Finished work reaches the lineage store in few transactions; none of it is lost or doubled."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.workspace.recording import Recording
from lineage import (
    EnvironmentRecord,
    LineageConflictError,
    LineageStore,
    LinearDigestRecord,
    Recorder,
)
from lineage.records import Row


class Counting(LineageStore):
    """A real store that counts what is written to it."""

    transactions = 0

    @contextmanager
    def writer(self) -> Iterator[Recorder]:
        with super().writer() as recorder:
            yield recorder
        self.transactions += 1


@pytest.fixture
def store(tmp_path: Path) -> Counting:
    made = Counting(tmp_path / "lineage.duckdb")
    made.migrate()
    return made


def digest(subject: int, value: int = 7) -> list[Row]:
    """The digest of one vector."""
    return [
        LinearDigestRecord(subject=f"{subject:064x}", lane=lane, value=value) for lane in range(4)
    ]


def recorded(store: LineageStore) -> int:
    with store.reader() as reader:
        return len(reader.sql("SELECT * FROM linear_digest").rows)


def test_what_comes_within_seconds_is_one_transaction(store: Counting) -> None:
    with Recording(store, seconds=60) as recording:
        for subject in range(20):
            recording.add(digest(subject))
        assert store.transactions == 0

    assert (store.transactions, recorded(store)) == (1, 80)


def test_what_comes_later_is_recorded_at_once(store: Counting) -> None:
    with Recording(store, seconds=0) as recording:
        for subject in range(3):
            recording.add(digest(subject))
            assert recorded(store) == 4 * (subject + 1)

    assert store.transactions == 3


def test_nothing_to_record_opens_nothing(store: Counting) -> None:
    with Recording(store):
        pass

    assert store.transactions == 0


def test_an_error_keeps_what_was_finished_before_it(store: Counting) -> None:
    with pytest.raises(ZeroDivisionError), Recording(store, seconds=60) as recording:
        recording.add(digest(1))
        raise ZeroDivisionError

    assert recorded(store) == 4


def test_contributors_who_share_content_share_its_rows(store: Counting) -> None:
    with Recording(store, seconds=60) as recording:
        recording.add(digest(1))
        recording.add(digest(1))

    assert (store.transactions, recorded(store)) == (1, 4)


def test_a_contradiction_is_left_to_the_store(store: Counting) -> None:
    with pytest.raises(LineageConflictError), Recording(store, seconds=60) as recording:
        recording.add(digest(1, value=7))
        recording.add(digest(1, value=8))

    assert recorded(store) == 4


def test_rows_of_all_kinds_travel_together(store: Counting) -> None:
    here = EnvironmentRecord(
        environment_id="e",
        code_version="1",
        python="3.11",
        platform="linux",
        device="cpu",
        threads=1,
        packages={},
    )
    with Recording(store, seconds=60) as recording:
        recording.add([here, *digest(1)])

    with store.reader() as reader:
        assert reader.environment("e") == here
    assert store.transactions == 1
