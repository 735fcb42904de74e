"""Whoever can write the lineage store's file: what is in it is ours, or nobody is answered."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from flows.workspace.workspace import Workspace
from lineage import LineageStore
from lineage import file_store as module
from lineage.errors import LineageAlteredError
from tests.support.sift import Sift
from tests.support.workspaces import make_workspace, reviews

_STEAL = (
    "CREATE TABLE kept AS FROM opt_out_approval; DROP TABLE opt_out_approval;"
    "CREATE VIEW opt_out_approval AS SELECT * REPLACE ('somebody else' AS actor) FROM kept"
)
CASES = {
    "a view of constants": "CREATE OR REPLACE VIEW digest_check AS SELECT 1 AS state_seq,"
    " 0 AS lane, 1 AS members, 0 AS members_sum, 0 AS state_value, true AS equal",
    "a view with one word changed": "CREATE OR REPLACE VIEW orphans AS FROM orphans WHERE false",
    "a view that is gone": "DROP VIEW purge_evidence",
    "a view more": "CREATE VIEW all_is_well AS SELECT 42",
    "a view in the place of a table": _STEAL,
    "a table more": "CREATE TABLE notes (text VARCHAR)",
    "a table under another name": "DROP VIEW opt_out_status; DROP VIEW opt_out_deadlines;"
    "ALTER TABLE opt_out_notice RENAME TO told",
    "a column more": "ALTER TABLE backup ADD COLUMN remark VARCHAR",
    "a column of another type": "CREATE OR REPLACE TABLE legal_hold AS"
    " SELECT * REPLACE (CAST(reason AS BLOB) AS reason) FROM legal_hold",
    "another default": "ALTER TABLE backup ALTER COLUMN made_by SET DEFAULT 'the clerk'",
    "a column that may be empty": "ALTER TABLE backup ALTER COLUMN made_by DROP NOT NULL",
    "a table without its constraints": "CREATE OR REPLACE TABLE consent AS FROM consent",
    "an index": "CREATE UNIQUE INDEX one_place ON backup (place)",
    "a schema": "CREATE SCHEMA evidence; CREATE TABLE evidence.membership (x INTEGER)",
    "a macro like a function": "CREATE MACRO sum(x) AS 0",
    "a macro like the catalogue": "CREATE MACRO duckdb_views() AS TABLE SELECT 1 AS view_name",
    "a macro like a function of the catalogue": "CREATE MACRO coalesce(x, y) AS 'main'",
    "a view like the catalogue": "CREATE VIEW duckdb_tables AS SELECT 'schema_migration' AS x",
    "a sequence": "CREATE SEQUENCE numbers",
    "a type": "CREATE TYPE verdict AS ENUM ('passed')",
    "another comment": "COMMENT ON COLUMN backup.place IS 'anywhere'",
}


@pytest.fixture
def films(tmp_path: Path, tiny_classifier: Path) -> Workspace:
    return make_workspace(tmp_path / "films", tiny_classifier, [reviews("ann")])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    store = LineageStore(tmp_path_factory.mktemp("made") / "lineage.duckdb")
    store.migrate()
    return store.path.read_bytes()


@pytest.fixture
def altered(tmp_path: Path, made: bytes) -> Callable[[str], LineageStore]:
    def alter(sql: str) -> LineageStore:
        store = LineageStore(tmp_path / "lineage.duckdb")
        store.path.write_bytes(made)
        with duckdb.connect(store.path) as connection:
            connection.execute(sql)
        return store

    return alter


@pytest.mark.parametrize("case", CASES)
def test_nobody_is_answered_by_a_store_that_is_not_as_we_make_it(
    case: str, altered: Callable[[str], LineageStore]
) -> None:
    store = altered(CASES[case])
    before = store.path.read_bytes()
    for work in (store.reader, store.writer):
        with pytest.raises(LineageAlteredError, match=r"was altered: .*Restore the store"), work():
            pass
    with pytest.raises(LineageAlteredError):
        store.upgrade()
    assert store.path.read_bytes() == before, "it is evidence, and is left as it was found"


def test_nothing_mends_it_unseen(altered: Callable[[str], LineageStore]) -> None:
    store = altered(CASES["a view of constants"])
    for mend in (store.migrate, store.rewrite):
        with pytest.raises(LineageAlteredError, match="view digest_check"):
            mend()


@pytest.mark.parametrize(
    "command",
    [
        ("audit",),
        ("verify",),
        ("lineage", "sql", "SELECT * FROM digest_check"),
        ("status",),
        ("upgrade",),
        ("opt-out", "status"),
        ("contributors", "list"),
    ],
    ids=" ".join,
)
@pytest.mark.slow
def test_every_command_says_so_in_one_line(
    command: tuple[str, ...],
    films: Workspace,
    sift: Sift,
) -> None:
    with duckdb.connect(films.root / "lineage.duckdb") as connection:
        connection.execute(CASES["a view of constants"])
    sift(*command, "-w", films.root).refused(1, "view digest_check", "Restore the store")


def test_what_we_write_ourselves_is_not_looked_at_again_and_what_others_write_is(
    altered: Callable[[str], LineageStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = altered("UPDATE schema_migration SET applied_at = applied_at")
    looked: list[int] = []

    def looking(connection: object) -> object:
        looked.append(1)
        return frozenset()

    with store.reader():
        pass
    monkeypatch.setattr(module, "catalogue", looking)
    monkeypatch.setattr(module, "require_own", lambda *_: None)
    with store.writer():
        pass
    with store.reader():
        pass
    assert looked == []
    with duckdb.connect(store.path) as connection:
        connection.execute("CREATE TABLE more (x INTEGER)")
    with store.reader():
        pass
    assert looked == [1]
