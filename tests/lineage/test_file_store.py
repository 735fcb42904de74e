import hashlib
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import pytest

from lineage import (
    ContributorRecord,
    LineageBusyError,
    LineageConflictError,
    LineageFileError,
    LineageMissingError,
    LineageSchemaError,
    LineageStore,
    LineageWriteError,
    schema,
)
from lineage.records import ROWS
from tests.support.lineage_stores import Engine, Files
from tests.support.paths import ROOT
from tests.support.population import at, empty_store, key, populate


@pytest.fixture(scope="session")
def engine() -> Engine:
    """What is tested here is the file."""
    return Files()


HOSTILE = [
    "'; drop table contributor; --",
    '"; DROP VIEW contributors; --',
    "../../x",
    "$external_id",
    "{}[]\\\"'`",
    "😀" * 250,
    "x" * 5000,
    " leading and trailing ",
    "line\nbreak\r\ttab",
    "\u202eright to left",
    "NULL",
]


def everything(store: LineageStore) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of every table."""
    with duckdb.connect(str(store.path), read_only=True) as connection:
        return {
            record.table: connection.execute(f"FROM {record.table} ORDER BY ALL").fetchall()
            for record in ROWS
        }


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_hostile_ids_come_back_as_they_went_in(store: LineageStore) -> None:
    with store.writer() as recorder:
        recorder.add_all(
            ContributorRecord(contributor_key=key(name), external_id=name, added_at=at(1))
            for name in HOSTILE
        )
    with store.reader() as reader:
        assert {one.external_id for one in reader.contributors()} == set(HOSTILE)
        for name in HOSTILE:
            assert reader.contributor(key(name)).external_id == name
        assert len(reader.sql("SELECT * FROM contributors").rows) == len(HOSTILE)


def test_hostile_text_as_a_parameter_finds_nothing_and_harms_nothing(
    populated: LineageStore,
) -> None:
    before = everything(populated)
    with populated.writer() as recorder:
        for name in HOSTILE:
            assert recorder.read.champion(name) is None
            assert recorder.read.open_request(name) is None
    assert everything(populated) == before


def test_ten_thousand_rows_are_one_fast_write(store: LineageStore) -> None:
    names = [f"contributor {number}" for number in range(10_000)]
    records = [
        ContributorRecord(contributor_key=key(name), external_id=name, added_at=at(1))
        for name in names
    ]
    start = time.perf_counter()
    with store.writer() as recorder:
        assert recorder.add_all(records) == 10_000
    # Generous for a busy machine; a row at a time takes far longer.
    assert time.perf_counter() - start < 5


def test_an_error_in_the_middle_leaves_the_file_as_it_was(populated: LineageStore) -> None:
    before = digest(populated.path)
    with pytest.raises(ZeroDivisionError), populated.writer() as recorder:
        recorder.add(
            ContributorRecord(contributor_key=key("eve"), external_id="eve", added_at=at(30))
        )
        recorder.mark_erased(key("cyd"), at(30))
        raise ZeroDivisionError
    assert digest(populated.path) == before
    assert [entry.name for entry in populated.path.parent.iterdir()] == [populated.path.name]


def test_a_refused_record_leaves_nothing_of_the_transaction(populated: LineageStore) -> None:
    before = everything(populated)
    with pytest.raises(LineageConflictError), populated.writer() as recorder:
        recorder.add(
            ContributorRecord(contributor_key=key("eve"), external_id="eve", added_at=at(30))
        )
        recorder.add(
            ContributorRecord(contributor_key=key("ada"), external_id="other", added_at=at(30))
        )
    assert everything(populated) == before


def test_a_missing_store_is_named_and_not_made(tmp_path: Path) -> None:
    store = LineageStore(tmp_path / "none.duckdb")
    with pytest.raises(LineageMissingError, match="sift init"), store.reader():
        pass
    with pytest.raises(LineageMissingError, match="sift init"), store.writer():
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lineage.duckdb"
    path.write_bytes(b"not a database" * 1000)
    for opened in (LineageStore(path).reader, LineageStore(path).writer):
        with pytest.raises(LineageFileError, match="backup"), opened():
            pass


def test_a_damaged_store_is_refused(populated: LineageStore) -> None:
    whole = populated.path.read_bytes()
    populated.path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LineageFileError), populated.reader() as reader:
        reader.impact(key("ada"))


# Others at work


def hold(store: LineageStore, seconds: float) -> subprocess.Popen[str]:
    """Start another process that holds the write lock; return once it does."""
    program = (
        "import sys, time, pathlib, lineage\n"
        "with lineage.LineageStore(pathlib.Path(sys.argv[1])).writer():\n"
        "    print('held', flush=True)\n"
        "    time.sleep(float(sys.argv[2]))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(store.path), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_waits_and_then_says_who_is_busy(populated: LineageStore) -> None:
    with hold(populated, seconds=60) as process:
        try:
            for opened in (populated.reader, populated.writer):
                start = time.monotonic()
                with pytest.raises(LineageBusyError, match=f"PID {process.pid}"), opened():
                    pass
                assert time.monotonic() - start >= populated.wait_seconds
        finally:
            process.terminate()


def test_a_second_process_goes_on_when_the_first_is_done(populated: LineageStore) -> None:
    patient = LineageStore(populated.path, wait_seconds=30)
    with hold(populated, seconds=1) as process:
        with patient.reader() as reader:
            assert reader.current_state() is not None
        assert process.wait() == 0


def test_a_killed_writer_leaves_nothing_behind(populated: LineageStore) -> None:
    before = everything(populated)
    program = (
        "import os, sys, pathlib, lineage\n"
        "from tests.support.population import at, key\n"
        "with lineage.LineageStore(pathlib.Path(sys.argv[1])).writer() as recorder:\n"
        "    recorder.add(lineage.ContributorRecord("
        "contributor_key=key('eve'), external_id='eve', added_at=at(30)))\n"
        "    os._exit(9)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(populated.path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert ended.returncode == 9
    assert everything(populated) == before


def test_a_full_disk_keeps_nothing_and_says_so(populated: LineageStore) -> None:
    before = everything(populated)
    program = (
        "import resource, signal, sys, pathlib, lineage\n"
        "from tests.support.population import at, key\n"
        "path = pathlib.Path(sys.argv[1])\n"
        # A limit on the size of files: writing past it fails as it does on a full disk.
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "limit = path.stat().st_size\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "try:\n"
        "    with lineage.LineageStore(path).writer() as recorder:\n"
        "        recorder.add_all(lineage.ContributorRecord(contributor_key=key(str(n)),"
        " external_id=''.join(key(f'{n} {i}') for i in range(100)), added_at=at(30))"
        " for n in range(1000))\n"
        "except lineage.LineageWriteError as error:\n"
        "    print(error)\n"
        "    sys.exit(error.exit_code)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(populated.path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "free disk space" in ended.stdout
    assert everything(populated) == before


def test_threads_of_one_process_take_turns(store: LineageStore) -> None:
    patient = LineageStore(store.path, wait_seconds=30)
    wrong: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(3):
                name = f"{number} {turn}"
                with patient.writer() as recorder:
                    recorder.add(
                        ContributorRecord(
                            contributor_key=key(name), external_id=name, added_at=at(1)
                        )
                    )
                with patient.reader() as reader:
                    assert reader.contributor(key(name)).external_id == name
        except BaseException as error:  # noqa: BLE001 - a thread must hand over whatever it met
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    with store.reader() as reader:
        assert len(reader.contributors()) == 12


def test_readers_may_nest_and_a_writer_waits_for_them(populated: LineageStore) -> None:
    with populated.reader() as outer, populated.reader() as inner:
        assert outer.contributors() == inner.contributors()
        with pytest.raises(LineageBusyError), populated.writer():
            pass


# Migrations


def test_migrating_again_changes_nothing(populated: LineageStore) -> None:
    before = everything(populated)
    populated.migrate()
    assert everything(populated) == before


def test_an_older_store_is_refused_until_it_is_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = schema.migrations()
    store = LineageStore(tmp_path / "lineage.duckdb")
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("SELECT 1")
    with pytest.raises(LineageSchemaError, match=f"0 of the {len(known)}"), store.reader():
        pass
    later = schema.Migration(
        known[-1].version + 1, "later", "CREATE TABLE later (x INTEGER PRIMARY KEY)"
    )
    store.migrate()
    populate(store)
    before = everything(store)
    monkeypatch.setattr(schema, "migrations", lambda: (*known, later))
    with (
        pytest.raises(LineageSchemaError, match=f"{len(known)} of the {len(known) + 1}"),
        store.writer(),
    ):
        pass
    store.migrate()
    assert everything(store) == before
    with store.reader() as reader:
        assert reader.sql("SELECT * FROM later").columns == ("x",)


def test_a_newer_store_is_refused(populated: LineageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    known = schema.migrations()
    monkeypatch.setattr(schema, "migrations", lambda: known[:-1])
    for attempt in (populated.migrate, populated.reader().__enter__, populated.writer().__enter__):
        with pytest.raises(LineageSchemaError, match="newer"):
            attempt()


def test_a_changed_migration_is_refused(
    populated: LineageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = schema.migrations()
    changed = schema.Migration(first.version, first.name, first.sql + "\n-- harmless?")
    monkeypatch.setattr(schema, "migrations", lambda: (changed, *others))
    for attempt in (populated.migrate, populated.reader().__enter__):
        with pytest.raises(LineageSchemaError, match="never edited"):
            attempt()


def test_a_missing_migration_is_refused(
    populated: LineageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *others = schema.migrations()
    last = schema.Migration(9, "nine", "SELECT 1")
    monkeypatch.setattr(schema, "migrations", lambda: (first, *others, last))
    with pytest.raises(LineageSchemaError, match="never edited"):
        populated.migrate()
    assert second.version == 2


def test_a_migration_that_fails_leaves_the_store_as_it_was(
    populated: LineageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = schema.migrations()
    broken = schema.Migration(
        known[-1].version + 1, "broken", "CREATE TABLE a (x INTEGER); SELECT nope"
    )
    before = digest(populated.path)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "migrations", lambda: (*known, broken))
        with pytest.raises(LineageWriteError, match="nope"):
            populated.migrate()
    assert digest(populated.path) == before


# Erasing


def test_a_rewritten_store_has_no_byte_of_an_erased_name(tmp_path: Path) -> None:
    store = empty_store(tmp_path / "o'brien.duckdb")
    with store.writer() as recorder:
        recorder.add(
            ContributorRecord(
                contributor_key=key("eve"), external_id="Eve Unmistakable", added_at=at(1)
            )
        )
    assert b"Eve Unmistakable" in store.path.read_bytes()
    with store.writer() as recorder:
        recorder.mark_erased(key("eve"), at(2))
    store.rewrite()
    assert b"Unmistakable" not in store.path.read_bytes()
    assert [entry.name for entry in tmp_path.iterdir()] == [store.path.name]


def test_rewriting_keeps_every_row_view_and_the_history(populated: LineageStore) -> None:
    history = "SELECT * FROM schema_migration ORDER BY version"
    views = "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY ALL"
    status = "SELECT * FROM opt_out_status"
    before = everything(populated)
    with populated.reader() as reader:
        asked = [reader.sql(text) for text in (history, views, status)]
    populated.rewrite()
    assert everything(populated) == before
    with populated.reader() as reader:
        assert [reader.sql(text) for text in (history, views, status)] == asked


def test_rewriting_waits_for_others_and_touches_nothing(populated: LineageStore) -> None:
    before = digest(populated.path)
    with hold(populated, seconds=60) as process:
        try:
            with pytest.raises(LineageBusyError):
                populated.rewrite()
        finally:
            process.kill()
    assert digest(populated.path) == before


def test_a_rewriting_that_fails_leaves_the_old_file(populated: LineageStore) -> None:
    before = digest(populated.path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    program = (
        "import resource, signal, sys, pathlib, lineage\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    lineage.LineageStore(path).rewrite()\n"
        "except lineage.LineageWriteError as error:\n"
        "    sys.exit(error.exit_code)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(populated.path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert ended.returncode == 1
    assert digest(populated.path) == before
    assert [entry.name for entry in populated.path.parent.iterdir()] == [populated.path.name]
    assert (soft, hard) == resource.getrlimit(resource.RLIMIT_FSIZE)
