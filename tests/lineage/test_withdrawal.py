"""Requests that withdraw some records: what they touch, and what is known of them afterwards."""

import pytest

from lineage import DatasetContentRecord, LineageRecordError, Store
from tests.support.population import at, key, record, run_id, sha


def test_the_impact_of_a_record_is_what_was_made_from_it_and_nothing_else(
    populated: Store,
) -> None:
    with populated.reader() as reader:
        first = reader.impact(key("bob"), [record("bob", "first")])
        second = reader.impact(key("bob"), [record("bob", "second"), sha("unknown")])
        both = reader.impact(key("bob"), [record("bob")])
        whole = reader.impact(key("bob"))

    assert [run.run_id for run in first.runs] == [run_id("bob", "first")]
    assert [vector.run_id for vector in first.vectors] == [run_id("bob", "first")]
    assert [state.state_seq for state in first.states] == [1]
    assert [version.version for version in second.versions] == [2, 3]
    assert both == whole


def test_a_record_of_somebody_else_has_no_impact_here(populated: Store) -> None:
    with populated.reader() as reader:
        for records in ([record("ada")], []):
            impact = reader.impact(key("bob"), records)
            assert not any(
                (impact.datasets, impact.runs, impact.vectors, impact.states, impact.versions)
            )


def test_live_records_are_those_of_every_dataset_that_still_exists(
    populated: Store,
) -> None:
    with populated.reader() as reader:
        assert reader.live_records(key("bob")) == {
            record("bob"),
            record("bob", "first"),
            record("bob", "second"),
        }
        assert reader.live_records(key("cyd")) == set()


def test_records_of_destroyed_data_are_forgotten_unless_a_request_named_them(
    populated: Store,
) -> None:
    first = sha("data bob first")
    with populated.writer() as recorder:
        recorder.mark_artifacts_destroyed(at(30), datasets=[(key("bob"), first)])
        recorder.forget_records(key("bob"), [record("bob", "first")])

    with populated.reader() as reader:
        assert reader.live_records(key("bob")) == {record("bob"), record("bob", "second")}
        (gone,) = reader.impact(key("bob"), [record("bob", "first")]).datasets
        (left,) = reader.impact(key("bob"), [record("bob")]).datasets
    assert (gone.sha256, left.sha256) == (first, sha("data bob second"))


def test_a_request_keeps_its_records_in_order_and_once(populated: Store) -> None:
    named = [sha("b"), sha("a"), sha("b")]
    with populated.writer() as recorder:
        filed = recorder.receive(key("ada"), "gdpr-art-17", at(30), named)
    with populated.reader() as reader:
        assert reader.request(filed.request_id) == filed
        (row,) = reader.sql(
            f"SELECT records FROM opt_out_status WHERE request_id = '{filed.request_id}'"
        ).rows
    assert filed.records == tuple(sorted({sha("a"), sha("b")}))
    assert row == (2,)


def test_who_withdrew_records_is_not_removed(populated: Store) -> None:
    with populated.writer() as recorder:
        request_id = recorder.receive(key("ada"), "x", at(30), [record("ada")]).request_id
        recorder.process.decide(request_id, "approved", "dpo", "identity proven", at(31))
        for step in ("identified", "approved"):
            recorder.advance(request_id, step, {}, at(31))
        recorder.advance(request_id, "removed", {}, at(31))
        assert recorder.read.removed_contributors() == {key("cyd")}


def test_the_name_of_a_record_is_a_digest() -> None:
    with pytest.raises(LineageRecordError, match="records"):
        DatasetContentRecord(contributor_key=key("a"), sha256=sha("a"), records=("A short text",))
