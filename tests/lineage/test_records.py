from datetime import UTC, datetime, timedelta, timezone

import duckdb
import pytest

from lineage import (
    ContributorRecord,
    EnvironmentRecord,
    LineageRecordError,
    LineageStore,
    LinearDigestRecord,
    StepRecord,
)
from lineage.records import ROWS, Row
from lineage.request_records import REQUEST_ROWS
from tests.support.lineage_stores import Engine, Files
from tests.support.population import ENVIRONMENT, at, key, sha


@pytest.fixture(scope="session")
def engine() -> Engine:
    """What is tested here is the file."""
    return Files()


@pytest.mark.parametrize("record", (*ROWS, *REQUEST_ROWS), ids=lambda record: record.table)
def test_a_record_has_the_columns_of_its_table_in_order(
    record: type[Row], store: LineageStore
) -> None:
    with duckdb.connect(str(store.path), read_only=True) as connection:
        columns = [row[0] for row in connection.execute(f"DESCRIBE {record.table}").fetchall()]
        keys = connection.execute(
            "SELECT constraint_column_names FROM duckdb_constraints()"
            " WHERE table_name = ? AND constraint_type = 'PRIMARY KEY'",
            [record.table],
        ).fetchone()
    assert list(record.model_fields) == columns
    assert keys is not None
    assert tuple(keys[0]) == record.key


def test_every_table_but_those_the_store_writes_itself_has_a_record(store: LineageStore) -> None:
    with store.reader() as reader:
        tables = {row[0] for row in reader.sql("SELECT table_name FROM duckdb_tables()").rows}
    assert tables == {row.table for row in (*ROWS, *REQUEST_ROWS)} | {
        "schema_migration",
        "audit_entry",
        "audit_change",
    }


@pytest.mark.parametrize("hostile", ["a\x00b", "\x00", "", "\ud800"])
def test_an_id_the_store_cannot_hold_is_refused_without_being_repeated(hostile: str) -> None:
    with pytest.raises(LineageRecordError, match="external_id") as caught:
        ContributorRecord(contributor_key=key("a"), external_id=hostile, added_at=at(1))
    if hostile:
        assert hostile not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_error_never_shows_the_value_that_was_wrong() -> None:
    with pytest.raises(LineageRecordError) as caught:
        ContributorRecord(contributor_key="Ada Lovelace", external_id="ada", added_at=at(1))
    assert "Lovelace" not in str(caught.value)


@pytest.mark.parametrize("value", [-1, 2**64, 1.5, "1", True, None])
def test_a_digest_lane_is_a_64_bit_number(value: object) -> None:
    with pytest.raises(LineageRecordError, match="value"):
        LinearDigestRecord.model_validate({"subject": sha("x"), "lane": 0, "value": value})


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(LineageRecordError, match="added_at"):
        ContributorRecord(contributor_key=key("a"), external_id="a", added_at=datetime(2026, 1, 1))


def test_a_time_of_any_zone_becomes_utc() -> None:
    eastern = datetime(2026, 1, 1, 7, tzinfo=timezone(timedelta(hours=-5)))
    record = ContributorRecord(contributor_key=key("a"), external_id="a", added_at=eastern)
    assert record.added_at.tzinfo is UTC
    assert record.added_at.hour == 12


def test_an_unknown_field_and_a_change_are_refused() -> None:
    with pytest.raises(LineageRecordError, match="nick"):
        ContributorRecord.model_validate(
            {"contributor_key": key("a"), "external_id": "a", "added_at": at(1), "nick": "b"}
        )
    record = ContributorRecord(contributor_key=key("a"), external_id="a", added_at=at(1))
    with pytest.raises(ValueError, match="frozen"):
        record.external_id = "b"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "a\x00b"])
def test_json_that_no_reader_would_understand_is_refused(value: object) -> None:
    fields = ENVIRONMENT.model_dump() | {"packages": {"torch": value}}
    with pytest.raises(LineageRecordError, match="packages"):
        EnvironmentRecord(**fields)


def test_only_the_steps_of_the_state_machine_exist() -> None:
    with pytest.raises(LineageRecordError, match="step"):
        StepRecord(request_id="opt-out-0001", step="forgotten", number=1, done_at=at(1), details={})
