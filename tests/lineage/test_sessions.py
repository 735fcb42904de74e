"""A session opens the store's file once, and changes nothing else of what a transaction is."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb
import pytest

from lineage import ContributorRecord, LineageBusyError, LineageFileError, LineageStore
from lineage.errors import LineageAlteredError
from tests.support.lineage_stores import Engine, Files
from tests.support.population import at, key


@pytest.fixture(scope="session")
def engine() -> Engine:
    """A store in PostgreSQL keeps its sessions itself."""
    return Files()


def openings(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each opening of a file from now on was for reading only."""
    found: list[bool] = []
    really_open = LineageStore._open

    def counted(store: LineageStore, read_only: bool, *rest: Any) -> duckdb.DuckDBPyConnection:
        found.append(read_only)
        return really_open(store, read_only, *rest)

    monkeypatch.setattr(LineageStore, "_open", counted)
    return found


def add(store: LineageStore, name: str) -> None:
    with store.writer() as recorder:
        recorder.add(
            ContributorRecord(contributor_key=key(name), external_id=name, added_at=at(30))
        )


def names(store: LineageStore) -> set[str | None]:
    with store.reader() as reader:
        return {contributor.external_id for contributor in reader.contributors()}


def test_a_session_opens_the_file_once_for_all_within(
    store: LineageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = openings(monkeypatch)
    with store.session(), LineageStore(store.path).session():
        for name in ("ada", "bob"):
            add(store, name)
        assert names(LineageStore(store.path)) == {"ada", "bob"}
    assert opened == [False]
    assert names(store) == {"ada", "bob"}


def test_each_transaction_of_a_session_is_kept_or_not_on_its_own(store: LineageStore) -> None:
    with pytest.raises(ZeroDivisionError), store.session():
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


def test_a_reader_within_a_session_cannot_write(store: LineageStore) -> None:
    refused = pytest.raises(LineageFileError, match="read-only")
    with store.session(), refused, store.reader() as reader:
        reader._connection.execute("DELETE FROM contributor")


def test_a_session_keeps_others_out_and_ends(store: LineageStore) -> None:
    def elsewhere() -> Exception | set[str | None]:
        try:
            return names(LineageStore(store.path, wait_seconds=0.1))
        except LineageBusyError as error:
            return error

    with ThreadPoolExecutor(1) as pool:
        with store.session():
            assert isinstance(pool.submit(elsewhere).result(), LineageBusyError)
        assert pool.submit(elsewhere).result() == set()


def test_a_session_is_not_begun_in_a_store_that_was_altered(populated: LineageStore) -> None:
    with duckdb.connect(str(populated.path)) as connection:
        connection.execute("CREATE TABLE foreign_thing (x INTEGER)")
    with pytest.raises(LineageAlteredError), populated.session():
        pass
