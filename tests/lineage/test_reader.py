from pathlib import Path

import pytest

from lineage import LineageNotFoundError, LineageQueryError, Store
from tests.support.lineage_stores import tamper
from tests.support.population import BASE, ENVIRONMENT, LANES, MODEL, key, run_id, sha

# The digest check


def test_the_digests_of_exactly_the_members_sum_to_the_state(populated: Store) -> None:
    with populated.reader() as reader:
        for state_seq, members in ((1, 3), (2, 4), (3, 3)):
            lanes = reader.digest_check(state_seq)
            assert [lane.lane for lane in lanes] == list(range(LANES))
            assert all(lane.equal and lane.members == lane.digests == members for lane in lanes)
            assert all(lane.members_sum == lane.state_value for lane in lanes)


@pytest.mark.parametrize(
    ("harm", "lanes_hurt"),
    [
        ("UPDATE linear_digest SET value = value - 1 WHERE subject = '{vector}' AND lane = 1", 1),
        ("UPDATE linear_digest SET value = value - 1 WHERE subject = '{state}' AND lane = 0", 1),
        ("DELETE FROM linear_digest WHERE subject = '{vector}' AND lane = 1", 1),
        ("DELETE FROM linear_digest WHERE subject = '{state}' AND lane = 1", 1),
        ("DELETE FROM linear_digest WHERE subject = '{vector}'", LANES),
        ("DELETE FROM membership WHERE run_id = '{run}'", LANES),
        ("UPDATE membership SET to_seq = NULL", LANES),
        ("DELETE FROM task_vector WHERE run_id = '{run}'", LANES),
    ],
)
def test_one_altered_lane_or_one_missing_member_is_found(
    populated: Store, harm: str, lanes_hurt: int
) -> None:
    with populated.reader() as reader:
        state = reader.state(3).state_sha256
    named = harm.format(vector=sha("vector ada first"), state=state, run=run_id("ada", "first"))
    tamper(populated, named)
    with populated.reader() as reader:
        assert [lane.equal for lane in reader.digest_check(3)].count(False) == lanes_hurt


def test_a_missing_digest_of_value_zero_is_found_too(populated: Store) -> None:
    vector = sha("vector ada first")
    with populated.reader() as reader:
        state = reader.state(3).state_sha256
    tamper(
        populated,
        f"UPDATE linear_digest SET value = (SELECT CAST((s.value::HUGEINT - v.value::HUGEINT"
        f" + 18446744073709551616) % 18446744073709551616 AS UBIGINT) FROM linear_digest s,"
        f" linear_digest v WHERE s.subject = '{state}' AND v.subject = '{vector}' AND s.lane = 0"
        f" AND v.lane = 0) WHERE subject = '{state}' AND lane = 0",
        f"DELETE FROM linear_digest WHERE subject = '{vector}' AND lane = 0",
    )
    with populated.reader() as reader:
        lane = reader.digest_check(3)[0]
    assert lane.members_sum == lane.state_value
    assert (lane.members, lane.digests, lane.equal) == (3, 2, False)


def test_nothing_to_check_is_not_a_pass(populated: Store) -> None:
    tamper(populated, "DELETE FROM linear_digest")
    with populated.reader() as reader, pytest.raises(LineageNotFoundError, match="no linear"):
        reader.digest_check(3)


# Questions


def test_impact_names_all_that_holds_a_contributor(populated: Store) -> None:
    with populated.reader() as reader:
        bob, cyd = reader.impact(key("bob")), reader.impact(key("cyd"))
    assert [one.sha256 for one in bob.datasets] == [sha("data bob first"), sha("data bob second")]
    assert [one.run_id for one in bob.runs] == [run_id("bob", "first"), run_id("bob", "second")]
    assert [one.run_id for one in bob.vectors] == [one.run_id for one in bob.runs]
    assert [one.state_seq for one in bob.states] == [1, 2, 3]
    assert [one.version for one in bob.versions] == [1, 2, 3]
    assert [one.state_seq for one in cyd.states] == [1, 2]
    assert [one.version for one in cyd.versions] == [1, 2]
    for kind in (cyd.datasets, cyd.vectors, cyd.states, cyd.versions):
        assert all(one.model_dump()["destroyed_at"] is not None for one in kind)


def test_a_version_is_traced_back_to_its_data(populated: Store) -> None:
    with populated.reader() as reader:
        trace = reader.trace(MODEL, 2)
    assert (trace.version.version, trace.state.state_seq, trace.base) == (2, 2, BASE)
    found = {one.contributor.contributor_key: one for one in trace.members}
    assert set(found) == {key(name) for name in ("ada", "bob", "cyd", "dan")}
    bob = found[key("bob")]
    assert bob.run.run_id == bob.vector.run_id == run_id("bob", "second")
    assert bob.dataset.sha256 == sha("data bob second")
    assert bob.environment == ENVIRONMENT


def test_what_is_not_there_is_said_with_a_remedy(populated: Store) -> None:
    with populated.reader() as reader:
        for ask in (
            lambda: reader.contributor(key("nobody")),
            lambda: reader.impact(key("nobody")),
            lambda: reader.run("none"),
            lambda: reader.task_vector("none"),
            lambda: reader.base_model("none"),
            lambda: reader.environment("none"),
            lambda: reader.state(9),
            lambda: reader.members(9),
            lambda: reader.digest_check(9),
            lambda: reader.model_version(MODEL, 9),
            lambda: reader.trace("other", 1),
            lambda: reader.request("opt-out-9999"),
            lambda: reader.next_step("opt-out-9999"),
        ):
            with pytest.raises(LineageNotFoundError, match="Remedy"):
                ask()


def test_what_may_not_be_there_yet_is_none(store: Store) -> None:
    with store.reader() as reader:
        assert reader.current_state() is None
        assert reader.champion(MODEL) is None
        assert reader.open_request(key("ada")) is None
        assert not reader.contributors()
        assert not reader.requests()
        assert not reader.model_versions()


# Auditors' SQL

WRITES = [
    "INSERT INTO contributor VALUES ('x', 'x', now(), NULL)",
    "DELETE FROM contributor",
    "UPDATE contributor SET external_id = 'x'",
    "DROP TABLE contributor",
    "CREATE TABLE x (y INTEGER)",
    "CREATE TEMP TABLE x AS SELECT 1",
    "ATTACH '{folder}/new.duckdb'",
    "COPY contributor TO '{folder}/new.csv'",
    "COPY (SELECT 1) TO '{folder}/new.csv'",
    "EXPORT DATABASE '{folder}/new'",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA enable_profiling",
    "CALL enable_logging(storage = 'file', storage_path = '{folder}/new')",
    "SELECT * FROM enable_logging(storage = 'file', storage_path = '{folder}/new')",
    "SELECT (SELECT count(*) FROM ENABLE_LOGGING(storage_path = '{folder}/new'))",
    "WITH a AS (FROM enable_logging()) SELECT 1",
    "SELECT 1 UNION ALL SELECT count(*) FROM enable_logging()",
    "EXPLAIN ANALYZE FROM enable_logging()",
    "FROM query('FROM enable_logging()')",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CHECKPOINT",
    "SELECT 1; DROP TABLE contributor",
]
READS = [
    "SELECT * FROM read_csv('{folder}/secret.csv')",
    "SELECT * FROM read_text('{folder}/secret.csv')",
    "SELECT * FROM read_blob('{folder}/*')",
    "SELECT * FROM '{folder}/secret.csv'",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM sniff_csv('{folder}/secret.csv')",
    "ATTACH '{folder}/secret.csv'",
    "SELECT * FROM folder_of_the_test",
    "SELECT getenv('HOME')",
]


@pytest.mark.parametrize("text", [*WRITES, *READS, "", "-- nothing", "selec", "SELECT $x", "\x00"])
def test_an_auditor_can_neither_write_nor_read_a_file(
    text: str, populated: Store, tmp_path: Path
) -> None:
    folder_of_the_test = [tmp_path]  # DuckDB would find this by its name
    (tmp_path / "secret.csv").write_text("name\nEve\n")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with (
        populated.reader() as reader,
        pytest.raises(LineageQueryError, match=r"Remedy: .*docs/reference/lineage\.md") as caught,
    ):
        reader.sql(text.format(folder=folder_of_the_test[0]))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "abs(" * 900 + "1" + ")" * 900,
        "SELECT " + "abs(" * 100_000 + "1" + ")" * 100_000,
        "SELECT " + "+".join("1" * 3000),
        "SELECT * FROM (" * 400 + "FROM contributor" + ")" * 400,
    ],
    ids=["deep", "deeper", "long", "subqueries"],
)
def test_sql_nested_without_end_is_refused(text: str, populated: Store) -> None:
    with populated.reader() as reader, pytest.raises(LineageQueryError):
        reader.sql(text)


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("SELECT 1 AS one, 'x' AS two", ("one", "two"), ((1, "x"),)),
        ("VALUES (1), (2)", ("col0",), ((1,), (2,))),
        ("FROM range(2)", ("range",), ((0,), (1,))),
        ("SELECT version FROM model_version ORDER BY 1;", ("version",), ((1,), (2,), (3,))),
    ],
)
def test_a_question_gets_columns_and_rows(
    text: str,
    columns: tuple[str, ...],
    rows: tuple[tuple[object, ...], ...],
    populated: Store,
) -> None:
    with populated.reader() as reader:
        table = reader.sql(text)
    assert (table.columns, table.rows) == (columns, rows)


def test_the_store_describes_itself(populated: Store) -> None:
    with populated.reader() as reader:
        assert len(reader.sql("DESCRIBE contributors").rows) == 11
        assert ("merge_members",) in reader.sql("SHOW TABLES").rows
        bare = reader.sql(
            "SELECT table_name, column_name FROM duckdb_columns()"
            " WHERE schema_name = 'main' AND NOT internal AND comment IS NULL"
            " UNION ALL SELECT table_name, NULL FROM duckdb_tables() WHERE comment IS NULL"
            " UNION ALL SELECT view_name, NULL FROM duckdb_views()"
            " WHERE NOT internal AND comment IS NULL"
        ).rows
    assert bare == ()
