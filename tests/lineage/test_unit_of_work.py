"""A unit of work opens the store's file seldom, and changes nothing else of a transaction."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

from lineage import ContributorRecord, LineageBusyError, LineageFileError, LineageStore
from lineage import unit_of_work as unit
from lineage.errors import LineageAlteredError
from tests.support.lineage_stores import Engine, Files, openings
from tests.support.population import at, key


@pytest.fixture(scope="session")
def engine() -> Engine:
    """A store in PostgreSQL keeps its sessions itself."""
    return Files()


@pytest.fixture(autouse=True)
def _never_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine must not end a unit by itself."""
    monkeypatch.setattr(unit, "IDLE_SECONDS", 600.0)
    monkeypatch.setattr(unit, "HELD_SECONDS", 600.0)


def add(store: LineageStore, name: str) -> None:
    with store.writer() as recorder:
        recorder.add(
            ContributorRecord(contributor_key=key(name), external_id=name, added_at=at(30))
        )


def names(store: LineageStore) -> set[str | None]:
    with store.reader() as reader:
        return {contributor.external_id for contributor in reader.contributors()}


def elsewhere(store: LineageStore, seconds: float = 0.1) -> Exception | set[str | None]:
    """What is told to somebody who opens the file past the unit, as another process does."""
    try:
        connection = LineageStore(store.path, seconds)._open(True, {}, time.monotonic() + seconds)
    except LineageBusyError as error:
        return error
    with connection:
        return {
            row[0] for row in connection.execute("SELECT external_id FROM contributor").fetchall()
        }


def test_the_file_is_opened_once_for_all_within(
    store: LineageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = openings(monkeypatch)
    with store.unit_of_work(), LineageStore(store.path).unit_of_work():
        for name in ("ada", "bob"):
            add(store, name)
        assert names(LineageStore(store.path)) == {"ada", "bob"}
    assert opened == [False]
    assert names(store) == {"ada", "bob"}


def test_nothing_is_opened_where_nothing_is_asked(
    store: LineageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = openings(monkeypatch)
    with store.unit_of_work():
        pass
    assert opened == []


def test_each_transaction_is_kept_or_not_on_its_own(store: LineageStore) -> None:
    with pytest.raises(ZeroDivisionError), store.unit_of_work():
        add(store, "ada")
        with pytest.raises(KeyError), store.writer() as recorder:
            recorder.add(
                ContributorRecord(contributor_key=key("eve"), external_id="eve", added_at=at(30))
            )
            raise KeyError
        assert names(store) == {"ada"}
        add(store, "bob")
        raise ZeroDivisionError
    assert names(store) == {"ada", "bob"}
    with store.reader() as reader:
        assert not any(reader.audit_findings().values())


def test_what_was_committed_is_there_for_a_reader_that_began_before_to_come_back(
    store: LineageStore,
) -> None:
    with store.unit_of_work(), store.reader() as reader:
        add(store, "ada")
        assert reader.contributors() == [], "all its answers are of one moment"
        assert names(store) == {"ada"}


def test_a_reader_cannot_write(store: LineageStore) -> None:
    refused = pytest.raises(LineageFileError, match="read-only")
    with store.unit_of_work(), refused, store.reader() as reader:
        reader._connection.execute("DELETE FROM contributor")


def test_others_are_kept_out_meanwhile_and_not_after(store: LineageStore) -> None:
    with ThreadPoolExecutor(1) as pool:
        with store.unit_of_work():
            add(store, "ada")
            assert isinstance(pool.submit(elsewhere, store).result(), LineageBusyError)
        assert pool.submit(elsewhere, store).result() == {"ada"}


def test_a_file_that_nobody_asks_is_let_go(
    store: LineageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit, "IDLE_SECONDS", 0.05)
    with store.unit_of_work():
        add(store, "ada")
        assert elsewhere(store, 10.0) == {"ada"}
        add(store, "bob")
    assert names(store) == {"ada", "bob"}


def test_whoever_waits_gets_in_between_two_questions(
    store: LineageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit, "HELD_SECONDS", 0.2)
    ended = threading.Event()

    def work() -> None:
        with store.unit_of_work():
            while not ended.is_set():
                names(store)

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            assert elsewhere(store, 10.0) == set()
        finally:
            ended.set()
        working.result()


def test_threads_share_it(store: LineageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, store = openings(monkeypatch), LineageStore(store.path, wait_seconds=60.0)
    with store.unit_of_work(), ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(add, store, f"contributor {n}") for n in range(8)]:
            done.result()
        assert len(names(store)) == 8
    assert opened == [False]


def test_a_store_that_was_altered_is_not_written_to(populated: LineageStore) -> None:
    with duckdb.connect(str(populated.path)) as connection:
        connection.execute("CREATE TABLE foreign_thing (x INTEGER)")
    with populated.unit_of_work(), pytest.raises(LineageAlteredError):
        add(populated, "eve")


def test_the_file_can_be_rewritten_within(store: LineageStore) -> None:
    with store.unit_of_work():
        add(store, "olga")
        with store.writer() as recorder:
            recorder.mark_erased(key("olga"), at(31))
        store.rewrite()
        assert names(store) == {None}
        add(store, "bob")
    # No name of hexadecimal digits alone, which a digest may hold by chance.
    assert b"olga" not in store.path.read_bytes()
