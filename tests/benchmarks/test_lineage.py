"""The benchmark of the lineage store measures a store that holds, with answers that are right."""

from pathlib import Path

import pytest

from benchmarks import lineage as benchmark
from tests.support.population import empty_store, key


def test_every_figure_comes_from_a_store_whose_audit_log_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "ASKED", 1)
    store = empty_store(tmp_path / "lineage.duckdb")

    measured = benchmark.figures(store, contributors=12, versions=3)

    assert len(measured) == 11
    assert all(figure.value > 0 for figure in measured)
    with store.reader() as reader:
        assert len(reader.impact(key("contributor 2")).versions) == 3
        assert all(lane.equal for lane in reader.digest_check(3))
        questions = benchmark.questions(3)
        served = questions["how many were in the served model on a day"](reader, "")
        assert getattr(served, "rows") == ((12,),)  # noqa: B009  an answer of SQL
        differing = questions["what differs between the first and the last version"](reader, "")
        assert len(getattr(differing, "rows")) == 4  # noqa: B009


def test_a_store_that_was_altered_is_not_measured(tmp_path: Path) -> None:
    import duckdb

    store = empty_store(tmp_path / "lineage.duckdb")
    benchmark.record_build(store, dict.fromkeys(["a", "b"], "first"))
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("UPDATE membership SET from_seq = 2")
    with pytest.raises(RuntimeError, match="audit log does not hold"):
        benchmark.check(store)
