"""A lineage store in PostgreSQL, where several write and many read at once."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lineage import (
    ContributorRecord,
    LineageBusyError,
    LineageExtraError,
    LineageFileError,
    LineageMissingError,
    LineageSchemaError,
    LineageStore,
    LineageWriteError,
    SharedLineageStore,
    schema,
)
from tests.support.lineage_stores import Databases, Engine, tamper
from tests.support.paths import ROOT
from tests.support.population import at, key, populate

if TYPE_CHECKING:
    from tests.support.servers import Postgres

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def engine(postgres_server: "Postgres") -> Engine:
    """What is tested here is the database."""
    return Databases(postgres_server)


def contributor(name: str) -> ContributorRecord:
    return ContributorRecord(contributor_key=key(name), external_id=name, added_at=at(1))


def findings(store: SharedLineageStore) -> list[object]:
    with store.reader() as reader:
        return [one for found in reader.audit_findings().values() for one in found]


def test_rows_and_their_digests_are_those_of_a_file(
    populated: SharedLineageStore, tmp_path: Path
) -> None:
    file = LineageStore(tmp_path / "lineage.duckdb")
    file.migrate()
    populate(file)
    digests = "SELECT seq, table_name, row_key, after FROM audit_change WHERE seq > 1 ORDER BY ALL"
    asked = ["SELECT * FROM linear_digest ORDER BY ALL", "FROM task_vector ORDER BY ALL", digests]
    with populated.reader() as mine, file.reader() as theirs:
        for sql in asked:
            assert mine.sql(sql) == theirs.sql(sql)


def test_readers_see_one_moment_and_wait_for_nobody(populated: SharedLineageStore) -> None:
    with populated.reader() as before:
        names = before.contributors()
        with populated.writer() as recorder:
            recorder.add(contributor("eve"))
            with populated.reader() as meanwhile:
                assert meanwhile.contributors() == names
        assert before.contributors() == names
    with populated.reader() as after:
        assert len(after.contributors()) == len(names) + 1


def test_many_readers_and_two_writers_at_once_lose_nothing(populated: SharedLineageStore) -> None:
    """The writers are processes, the readers threads; every moment seen passes the audit."""
    program = (
        "import sys, lineage\n"
        "from tests.support.population import at, key\n"
        "store = lineage.SharedLineageStore(sys.argv[1], wait_seconds=120)\n"
        "for number in range(5):\n"
        "    name = f'{sys.argv[2]} {number}'\n"
        "    with store.writer() as recorder:\n"
        "        recorder.add(lineage.ContributorRecord(contributor_key=key(name),"
        " external_id=name, added_at=at(1)))\n"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", program, populated.url, name],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        for name in ("one", "two")
    ]
    failed: list[object] = []

    def look() -> None:
        while any(writer.poll() is None for writer in writers):
            failed.extend(findings(populated))

    readers = [threading.Thread(target=look) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert [writer.returncode for writer in writers] == [0, 0]
    assert failed == [] and findings(populated) == []
    with populated.reader() as reader:
        assert len(reader.contributors()) == 4 + 10
        seqs = reader.sql("SELECT seq FROM audit_entry ORDER BY seq").rows
    assert [seq for (seq,) in seqs] == list(range(1, len(seqs) + 1))


def test_a_writer_waits_its_turn_and_says_so(populated: SharedLineageStore) -> None:
    other = SharedLineageStore(populated.url, wait_seconds=0.2)
    with populated.writer(), pytest.raises(LineageBusyError, match="is writing"), other.writer():
        pass
    with other.writer() as recorder:
        assert recorder.add(contributor("eve"))


def test_a_killed_writer_keeps_nothing_and_nobody_out(populated: SharedLineageStore) -> None:
    program = (
        "import os, signal, sys, lineage\n"
        "from tests.support.population import at, key\n"
        "with lineage.SharedLineageStore(sys.argv[1]).writer() as recorder:\n"
        "    recorder.add(lineage.ContributorRecord(contributor_key=key('eve'), external_id='eve',"
        " added_at=at(1)))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, populated.url],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert ended.returncode == -9
    patient = SharedLineageStore(populated.url, wait_seconds=30)
    with patient.writer() as recorder:
        assert recorder.add(contributor("eve"))
    assert findings(patient) == []


def test_an_error_within_a_transaction_keeps_nothing(populated: SharedLineageStore) -> None:
    with pytest.raises(RuntimeError), populated.writer() as recorder:
        recorder.add(contributor("eve"))
        raise RuntimeError
    assert findings(populated) == []
    with populated.reader() as reader:
        assert len(reader.contributors()) == 4


def test_a_row_changed_in_the_database_is_found(populated: SharedLineageStore) -> None:
    tamper(populated, "UPDATE membership SET run_id = 'another' WHERE to_seq IS NULL")
    found = findings(populated)
    assert len(found) == 3 and all("outside the platform" in str(one) for one in found)


def test_a_constraint_of_a_migration_holds_in_the_database(populated: SharedLineageStore) -> None:
    with pytest.raises(LineageWriteError, match="check constraint"), populated.writer() as recorder:
        rows = "SELECT contributor_key, sha256, 'poetry' AS task FROM dataset_version"
        recorder._connection.update("dataset_version", rows)


def test_no_byte_of_an_erased_name_is_left_on_the_server(
    store: SharedLineageStore, postgres_server: "Postgres"
) -> None:
    def holding() -> list[str]:
        postgres_server.run("SELECT pg_switch_wal()", "CHECKPOINT")
        return [
            str(path)
            for path in postgres_server.folder.rglob("*")
            if path.is_file() and b"Unmistakable" in path.read_bytes()
        ]

    with store.writer() as recorder:
        recorder.add(contributor("Eve Unmistakable"))
    # An auditor's question, and the server's own sampling, must leave nothing either.
    with store.reader() as reader:
        assert reader.sql("SELECT 1 FROM contributors WHERE external_id = 'Eve Unmistakable'").rows
    database = store.url.rpartition("/")[2]
    postgres_server.run("ANALYZE", database=database)
    assert holding()
    with store.writer() as recorder:
        recorder.mark_erased(key("Eve Unmistakable"), at(2))
    store.rewrite()
    assert holding() == []


def test_rewriting_does_not_wait_for_a_reader_without_end(populated: SharedLineageStore) -> None:
    with populated.reader() as reader:
        reader.contributors()
        with pytest.raises(LineageBusyError, match="somebody reads"):
            populated.rewrite()
    populated.rewrite()
    assert findings(populated) == []


def test_a_store_that_is_not_there_is_wrong_usage(postgres_server: "Postgres") -> None:
    store = SharedLineageStore(postgres_server.create("nothing_here"))
    with pytest.raises(LineageMissingError), store.reader():
        pass
    with pytest.raises(LineageMissingError), store.writer():
        pass


def test_a_server_that_is_gone_or_refuses_is_said_without_a_password(
    populated: SharedLineageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = SharedLineageStore("postgresql://sift@127.0.0.1:9/lineage")
    monkeypatch.setenv("PGPASSWORD", "a wrong password")
    for store in (gone, SharedLineageStore(populated.url)):
        with pytest.raises(LineageFileError) as refused, store.reader():
            pass
        assert "PGPASSFILE" in refused.value.remedy
        assert "a wrong password" not in str(refused.value)


def test_an_older_store_is_brought_up_to_date_with_its_rows(
    postgres_server: "Postgres", monkeypatch: pytest.MonkeyPatch
) -> None:
    known = schema.migrations()

    def know(count: int) -> None:
        monkeypatch.setattr(schema, "migrations", lambda: known[:count])

    store = SharedLineageStore(postgres_server.create("older"))
    monkeypatch.setattr(schema, "make_views", lambda connection: None)
    know(8)
    store.migrate()
    with store.writer() as recorder:
        recorder._connection.insert(
            "contributor",
            f"SELECT '{key('ada')}' AS contributor_key, 'ada' AS external_id,"
            " TIMESTAMP '2026-01-01' AS added_at",
        )
    monkeypatch.undo()
    fresh = SharedLineageStore(store.url)
    with pytest.raises(LineageSchemaError, match=f"8 of the {len(known)}"), fresh.reader():
        pass
    fresh.migrate()
    fresh.migrate()
    assert findings(fresh) == []
    with fresh.reader() as reader:
        assert [row.external_id for row in reader.contributors()] == ["ada"]
        assert ("migrated",) in reader.sql("SELECT event FROM audit_entry").rows


def test_a_migration_that_fails_leaves_the_store_as_it_was(
    populated: SharedLineageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = schema.migrations()
    broken = schema.Migration(
        known[-1].version + 1, "broken", "CREATE TABLE a (x INTEGER);\nSELECT nope"
    )
    fresh = SharedLineageStore(populated.url)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "migrations", lambda: (*known, broken))
        with pytest.raises(LineageWriteError, match="nope"):
            fresh.migrate()
    assert findings(SharedLineageStore(populated.url)) == []


def test_without_its_packages_the_error_says_what_to_install(
    populated: SharedLineageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent: Callable[[str], None] = lambda name: None  # noqa: E731
    monkeypatch.setattr("lineage.postgres.store.find_spec", absent)
    store = SharedLineageStore(populated.url)
    with pytest.raises(LineageExtraError, match="not installed") as missing, store.reader():
        pass
    assert "sift-masks[postgres]" in missing.value.remedy
