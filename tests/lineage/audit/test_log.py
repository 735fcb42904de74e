"""Every change appends to the audit log, and what was changed past it is found."""

import hashlib
import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lineage import Anchor, ContributorRecord, Finding, LineageStore, LineageWriteError, schema
from lineage.audit.log import entry_sha256
from lineage.audit.rows import FORGOTTEN, audited_tables
from lineage.sql_files import FileDatabase
from tests.support.lineage_stores import Engine, Files
from tests.support.population import at, key, populate


@pytest.fixture(scope="session")
def engine() -> Engine:
    """What is tested here is the file."""
    return Files()


def findings(store: LineageStore, *anchors: Anchor) -> dict[str, list[Finding]]:
    """What is wrong, without the checks that passed."""
    with store.reader() as reader:
        return {name: found for name, found in reader.audit_findings(anchors).items() if found}


def ask(store: LineageStore, sql: str) -> list[tuple[Any, ...]]:
    with store.reader() as reader:
        return list(reader.sql(sql).rows)


def tamper(store: LineageStore, sql: str) -> None:
    """Change the file as somebody could who has it, past all of our code."""
    with duckdb.connect(str(store.path)) as connection:
        connection.execute(sql)


def test_each_transaction_that_changes_something_is_one_entry(store: LineageStore) -> None:
    populate(store)
    entries = ask(store, "SELECT seq, event FROM audit_entry ORDER BY seq")
    assert [seq for seq, _ in entries] == [1, 2, 3, 4]
    assert entries[0][1] == "began"
    assert "add membership" in entries[1][1]
    assert "update membership" in entries[2][1]
    assert "update contributor" in entries[3][1]
    assert findings(store) == {}


def test_a_transaction_that_changes_nothing_is_no_entry(populated: LineageStore) -> None:
    before = ask(populated, "FROM audit_entry")
    with populated.writer() as recorder:
        recorder.set_champion("demo", 3, at(30))
        recorder.mark_artifacts_destroyed(at(30), states=[1])
    populated.migrate()
    assert ask(populated, "FROM audit_entry") == before


def test_a_transaction_that_fails_is_no_entry(populated: LineageStore) -> None:
    before = ask(populated, "FROM audit_entry")
    with pytest.raises(ZeroDivisionError), populated.writer() as recorder:
        recorder.add(
            ContributorRecord(contributor_key=key("eve"), external_id="eve", added_at=at(30))
        )
        raise ZeroDivisionError
    assert ask(populated, "FROM audit_entry") == before
    assert findings(populated) == {}


def test_a_statement_that_the_log_cannot_follow_is_refused(populated: LineageStore) -> None:
    for text in (
        "DROP TABLE evaluation",
        "CREATE TABLE mine (x INTEGER)",
        "WITH x AS (SELECT 1) DELETE FROM evaluation",
        "DELETE FROM audit_entry",
        "UPDATE audit_change SET seq = 7",
    ):
        with pytest.raises(LineageWriteError, match="audit log"), populated.writer() as recorder:
            recorder._connection.execute(text)
    assert findings(populated) == {}


# What is hashed, and how


def test_the_hash_of_an_entry_is_what_it_was_when_the_format_was_fixed() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 60, tzinfo=UTC)
    details = {"contributor": {"rows": 1, "sha256": "ab" * 32}}
    golden = "444d3cfb1e41dd88fe18d4e0089d3e82fdf5f871ae93f450211428853919f21a"
    assert entry_sha256(2, moment, "add contributor", details, "cd" * 32) == golden
    text = (
        '{"details":{"contributor":{"rows":1,"sha256":"' + "ab" * 32 + '"}},'
        '"event":"add contributor","format":"sift-audit-entry/1",'
        '"previous_sha256":"' + "cd" * 32 + '","seq":2,'
        '"written_at":"2026-01-02T03:04:05.000060+00:00"}'
    )
    assert hashlib.sha256(text.encode()).hexdigest() == golden


def as_text(value: object, kind: str) -> str:
    if kind == "DOUBLE":
        return f"{int.from_bytes(struct.pack('>d', value), 'big'):064b}"
    if isinstance(value, datetime):
        since = value.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return str(since // timedelta(microseconds=1))
    if kind == "VARCHAR[]":
        assert isinstance(value, list)
        return "[" + ", ".join(value) + "]"
    return str(value)


def test_row_digests_are_what_the_docs_say(populated: LineageStore) -> None:
    """Computed again by other means, from the description in docs/reference/lineage.md."""
    checked = 0
    with duckdb.connect(str(populated.path), read_only=True) as connection:
        for table in audited_tables(connection).values():
            logged = dict(
                connection.execute(
                    "SELECT row_key, last(after ORDER BY seq) FROM audit_change"
                    " WHERE table_name = ? GROUP BY row_key",
                    [table.name],
                ).fetchall()
            )
            cursor = connection.execute(f"FROM {table.name}")
            names = [column[0] for column in cursor.description]
            for values in cursor.fetchall():
                row = dict(zip(names, values, strict=True))
                parts = [table.name]
                for name in sorted(names):
                    if row[name] is not None and (table.name, name) not in FORGOTTEN:
                        parts += [name, as_text(row[name], table.columns[name])]
                text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
                row_key = json.dumps([str(row[name]) for name in table.key], separators=(",", ":"))
                assert logged[row_key] == hashlib.sha256(text.encode()).hexdigest()[:32]
                checked += 1
    assert checked > 100


def test_every_column_but_the_forgotten_ones_counts(populated: LineageStore) -> None:
    with duckdb.connect(str(populated.path), read_only=True) as connection:
        for table in audited_tables(connection).values():
            for name, kind in table.columns.items():
                source = f"(SELECT * REPLACE (CAST(NULL AS {kind}) AS {name}) FROM {table.name})"
                (changed,) = connection.execute(
                    f"SELECT count(*) FROM (SELECT digest FROM ({table.rows(table.name)})"
                    f" EXCEPT ALL SELECT digest FROM ({table.rows(source)}))"
                ).fetchall()[0]
                (filled,) = connection.execute(
                    f"SELECT count({name}) FROM {table.name}"
                ).fetchall()[0]
                expected = 0 if (table.name, name) in FORGOTTEN else filled
                assert changed == expected, (table.name, name)


def test_nothing_in_the_log_depends_on_a_name_or_a_record(
    tmp_path: Path, store: LineageStore
) -> None:
    """Else a guess could be tried against it after the name has been erased."""
    other = LineageStore(tmp_path / "other.duckdb")
    other.path.write_bytes(store.path.read_bytes())
    for one, name in ((store, "ada"), (other, "somebody else")):
        with one.writer() as recorder:
            recorder.add(
                ContributorRecord(contributor_key=key("k"), external_id=name, added_at=at(1))
            )
    asked = "SELECT * FROM audit_change WHERE table_name = 'contributor'"
    assert ask(store, asked) == ask(other, asked)
    assert ("contributor", "external_id") in FORGOTTEN
    assert ("dataset_records", "records") in FORGOTTEN


# What is found


@pytest.mark.parametrize(
    ("damage", "check", "where"),
    [
        ("UPDATE audit_entry SET event = 'nothing' WHERE seq = 3", "chain", "entry 3"),
        ("UPDATE audit_entry SET written_at = '2020-01-01' WHERE seq = 3", "chain", "entry 3"),
        ("UPDATE audit_entry SET details = '{}' WHERE seq = 2", "chain", "entry 2"),
        ("DELETE FROM audit_entry WHERE seq = 2", "chain", "entry 3"),
        ("DELETE FROM audit_entry WHERE seq = 1", "chain", "entry 2"),
        ("DELETE FROM audit_entry", "chain", "audit log"),
        (
            "UPDATE audit_entry SET seq = 9 WHERE seq = 2;"
            "UPDATE audit_entry SET seq = 2 WHERE seq = 3;"
            "UPDATE audit_entry SET seq = 3 WHERE seq = 9",
            "chain",
            "entry 2",
        ),
        ("DELETE FROM audit_change WHERE seq = 4 AND after IS NULL OR seq = 3", "chain", "entry 3"),
        ("UPDATE audit_change SET after = before WHERE seq = 4", "chain", "entry 4"),
        ("UPDATE membership SET to_seq = NULL WHERE from_seq = 1", "rows", "membership"),
        ("UPDATE evaluation SET value = 0.99 WHERE setting = 'merged'", "rows", "evaluation"),
        ("DELETE FROM purge_object", "rows", "purge_object"),
        ("DELETE FROM opt_out_request", "rows", 'opt_out_request ["opt-out-0001"]'),
        (
            "INSERT INTO opt_out_request BY NAME SELECT 'opt-out-0002' AS request_id,"
            " 'k' AS contributor_key, 'none' AS basis, now()::TIMESTAMP AS received_at",
            "rows",
            'opt_out_request ["opt-out-0002"]',
        ),
        ("UPDATE schema_migration SET name = 'x' WHERE version = 2", "rows", "schema_migration"),
    ],
)
def test_damage_is_found_where_it_is(
    populated: LineageStore, damage: str, check: str, where: str
) -> None:
    tamper(populated, damage)
    found = findings(populated)
    assert any(where in one.where for one in found[check])


def test_a_change_made_behind_our_back_is_found_after_we_have_changed_the_row_too(
    populated: LineageStore,
) -> None:
    tamper(populated, "UPDATE dataset_version SET bytes = 1 WHERE destroyed_at IS NULL")
    with populated.writer() as recorder:
        for row in recorder.read.current_datasets():
            recorder.supersede_dataset(row.contributor_key, row.sha256, at(40))
    found = findings(populated)["rows"]
    assert sum("before entry 5" in one.found for one in found) == 3


def test_a_log_cut_off_at_its_end_is_found_by_an_anchor(populated: LineageStore) -> None:
    with populated.reader() as reader:
        head = reader.audit_head()
    anchor = Anchor(seq=head.seq, sha256=head.sha256, source="commit abc")
    assert findings(populated, anchor) == {}
    earlier = populated.path.with_name("earlier.duckdb")
    earlier.write_bytes(populated.path.read_bytes())
    tamper(LineageStore(earlier), f"DELETE FROM audit_entry WHERE seq = {head.seq}")
    (cut,) = findings(LineageStore(earlier), anchor)["anchors"]
    assert "commit abc" in cut.found
    other = anchor.model_copy(update={"sha256": "0" * 64})
    (rewritten,) = findings(populated, other)["anchors"]
    assert "commit abc says 0000" in rewritten.found


def test_many_damaged_rows_are_counted(populated: LineageStore) -> None:
    tamper(populated, "UPDATE evaluation SET row_count = 5")
    found = findings(populated)["rows"]
    assert len(found) == 11
    assert "more rows of evaluation" in found[-1].found


# What a log goes through


def test_rewriting_the_file_keeps_the_log(populated: LineageStore) -> None:
    before = ask(populated, "FROM audit_entry"), ask(populated, "FROM audit_change ORDER BY ALL")
    populated.rewrite()
    after = ask(populated, "FROM audit_entry"), ask(populated, "FROM audit_change ORDER BY ALL")
    assert after == before
    assert findings(populated) == {}
    with populated.writer() as recorder:
        recorder.add(
            ContributorRecord(contributor_key=key("eve"), external_id="eve", added_at=at(30))
        )
    assert findings(populated) == {}


@pytest.fixture
def known_migrations(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    known = schema.migrations()

    def only(count: int, *more: schema.Migration) -> None:
        monkeypatch.setattr(schema, "migrations", lambda: (*known[:count], *more))

    return only


def test_an_older_store_begins_its_log_with_what_it_holds(
    tmp_path: Path, known_migrations: Callable[..., None]
) -> None:
    store = LineageStore(tmp_path / "lineage.duckdb")
    all_of_them = len(schema.migrations())
    known_migrations(7)
    # Its `migrate` would write a log; a store of that time has none.
    with duckdb.connect(str(store.path)) as connection:
        schema._apply(FileDatabase(connection), connection.execute, schema.migrations())
        connection.execute("INSERT INTO contributor VALUES ('k', 'ada', '2026-01-01', NULL)")
    known_migrations(all_of_them)
    store.migrate()
    assert ask(store, "SELECT event FROM audit_entry") == [("began",)]
    assert ask(store, "SELECT row_key FROM audit_change WHERE table_name = 'contributor'") == [
        ('["k"]',)
    ]
    assert findings(store) == {}


def test_a_migration_is_an_entry_and_hides_no_damage(
    populated: LineageStore, known_migrations: Callable[..., None]
) -> None:
    tamper(populated, "DELETE FROM purge_object")
    (damaged,) = findings(populated)["rows"]
    count = len(schema.migrations())
    later = schema.Migration(
        count + 1,
        "later",
        "ALTER TABLE contributor ADD COLUMN tier VARCHAR DEFAULT 'free';"
        " ALTER TABLE opt_out_request ADD COLUMN note VARCHAR",
    )
    known_migrations(count, later)
    populated.migrate()
    (changes,) = ask(
        populated, "SELECT details FROM audit_entry WHERE event = 'migrated' ORDER BY seq"
    )
    assert json.loads(changes[0]).keys() == {"contributor", "schema_migration"}
    assert findings(populated) == {"rows": [damaged]}
