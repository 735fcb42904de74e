"""Each question of docs/reference/cookbook.md gets its answer in a store with a known story."""

import re
from pathlib import Path
from typing import Any

import pytest

from lineage import ContributorRecord, Store
from tests.support.lineage_stores import Copies, Engine, tamper
from tests.support.pages import blocks
from tests.support.paths import ROOT
from tests.support.population import (
    BASE,
    ENVIRONMENT,
    LANES,
    at,
    dataset,
    finetuning,
    key,
    md5,
    populate,
    record,
    run_id,
    sha,
)

DOCS = (ROOT / "docs/reference/cookbook.md").read_text(encoding="utf-8")
RECIPES = {
    title: blocks(body, "sql")
    for title, body in re.findall(
        r"^### (.+?)\n(.*?)(?=^##|\Z)", DOCS, flags=re.DOTALL | re.MULTILINE
    )
}
ADA, BOB, CYD, DAN, EVE = (key(name) for name in ("ada", "bob", "cyd", "dan", "eve"))
ELSEWHERE = ENVIRONMENT.model_copy(
    update={
        "environment_id": sha("elsewhere"),
        "code_version": "0.2.0",
        "platform": "linux aarch64",
        "packages": {"torch": "2.14.0"},
    }
)


@pytest.fixture(scope="session")
def _told(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Copies:
    return engine.kept(tell, tmp_path_factory.mktemp("told"))


def tell(store: Store) -> None:
    populate(store)
    with store.writer() as recorder:
        recorder.add(ELSEWHERE)
        recorder.add(ContributorRecord(contributor_key=EVE, external_id="eve", added_at=at(21)))
        same_as_ada = {"sha256": sha("data ada first"), "md5": md5("data ada first")}
        recorder.add(dataset("eve", "first", 21).model_copy(update=same_as_ada))
        run, *rest = finetuning("eve", "first", 21)
        made = {
            "dataset_sha256": sha("data ada first"),
            "environment_id": ELSEWHERE.environment_id,
        }
        recorder.add_all([run.model_copy(update=made), *rest])
        request = recorder.receive(DAN, "ccpa-1798.105", at(22), jurisdiction="ccpa")
        recorder.process.set_deadlines(request.request_id, [("acknowledge", at(36))])


@pytest.fixture
def told(tmp_path: Path, _told: Copies) -> Store:
    """The story of the population, and Eve and an open request of Dan's."""
    return _told(tmp_path)


def days(day: float) -> Any:
    """Noon of a day of the story, as SQL answers it."""
    return at(day).replace(tzinfo=None)


def every(*names: str) -> list[tuple[Any, ...]]:
    return [(name,) for name in names]


# Title → columns of the answer, and its rows. What an answer says beside these columns is free.
EXPECTED: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "Which models contain a contributor?": (
        "name version destroyed_at",
        [("demo", 1, days(20)), ("demo", 2, days(20)), ("demo", 3, None)],
    ),
    "Which contributors were in version 3 on a given day?": (
        "external_id",
        every("ada", "bob", "dan"),
    ),
    "Which contributors were in the model that was being served on a given day?": (
        "version external_id",
        [(2, "ada"), (2, "bob"), (2, "dan"), (2, None)],
    ),
    "Which models was a record in?": ("version", []),
    "What did the current model learn from?": (
        "version external_id base train_rows",
        [(3, name, BASE.source, 24) for name in ("ada", "bob", "dan")],
    ),
    "On what public data was the base prepared?": (
        "public_data licence rows",
        [("public reviews", "MIT", "100")],
    ),
    "Which model versions are there, and what became of each?": (
        "version status members",
        [(1, "destroyed", 3), (2, "destroyed", 4), (3, "served", 3)],
    ),
    "Which version was served when, and for how long?": (
        "version champion_from champion_to",
        [(1, days(3), days(11)), (2, days(11), days(20)), (3, days(20), None)],
    ),
    "Whose data waits for the next build?": ("external_id", every("eve")),
    "Which contributors gave exactly the same data?": (
        "sha256 contributors",
        [(sha("data ada first"), ["ada", "eve"])],
    ),
    "How many bytes are kept of each contributor?": (
        "external_id bytes",
        # Bob's replaced data and vector are kept too, until he opts out.
        [("ada", 2214), ("bob", 4428), ("dan", 2214), ("eve", 2214)],
    ),
    "Is each merge the sum of exactly its members, and of nothing else?": (
        "members equal",
        [(count, True) for count in (3, 4, 3) for _ in range(LANES)],
    ),
    "Is version 3 exactly the sum of its listed members?": (
        "version sum_of_exactly_its_members members",
        [(3, True, 3)],
    ),
    "Which single vector, taken away, turns one state into the next?": (
        "contributor_key run_id lanes",
        [(CYD, run_id("cyd", "first"), LANES)],
    ),
    "Does every reference lead somewhere?": ("value", []),
    "What changed from one merge to the next?": (
        "state_seq change contributor_key",
        sorted(
            [
                (1, "in", ADA),
                (1, "in", BOB),
                (1, "in", CYD),
                (2, "in", BOB),
                (2, "out", BOB),
                (2, "in", DAN),
                (3, "out", CYD),
            ]
        ),
    ),
    "What differs between versions 1 and 3?": (
        "contributor_key difference",
        [(BOB, "other data or finetuning"), (CYD, "left"), (DAN, "joined")],
    ),
    "Which data was replaced, and is still in DVC's history?": (
        "external_id sha256 superseded_at",
        [("bob", sha("data bob first"), days(10))],
    ),
    "Does the mask pay, and did those who stayed lose anything?": (
        "state_seq metric contributors base merged masked",
        [
            (seq, "accuracy", members, 0.5, 0.625, 0.875)
            for seq, members in ((1, 3), (2, 4), (3, 3))
        ],
    ),
    "Whose quality changed after an opt-out, in either direction?": (
        "external_id metric before after change",
        [(name, "accuracy", 0.875, 0.875, 0.0) for name in ("ada", "bob", "dan")],
    ),
    "Which finetunings used this version of the code?": (
        "run_id external_id in_merge",
        [(run_id("eve", "first"), "eve", False)],
    ),
    "Which finetunings ran on this machine?": (
        "external_id device threads",
        [("eve", "cpu", 2)],
    ),
    "Which members of the current merge rest on this package version?": (
        "external_id torch",
        [("ada", "2.13.0"), ("bob", "2.13.0"), ("dan", "2.13.0")],
    ),
    "What has a contributor's data touched, and what of it still exists?": (
        "kind still_exists",
        sorted(
            [
                ("dataset", True),
                ("finetuning run", False),
                ("mask", True),
                ("merge state", False),
                ("merge state", False),
                ("merge state", True),
                ("model version", False),
                ("model version", False),
                ("model version", True),
                ("task vector", True),
            ]
        ),
    ),
    "Which opt-out requests are open, and how long?": (
        "request_id basis last_step",
        [("opt-out-0002", "ccpa-1798.105", "received")],
    ),
    "Who approved what was destroyed, when and why?": (
        "request_id actor reason decided_at",
        [("opt-out-0001", "dpo", "identity proven", days(20))],
    ),
    "Which requests are near their deadline, or past it?": (
        "request_id jurisdiction kind due_at state",
        [("opt-out-0002", "ccpa", "acknowledge", days(36), "overdue")],
    ),
    "How far has each request come, and when was each step done?": (
        "request_id step done_at",
        [
            ("opt-out-0001", step, days(20))
            for step in (
                "approved",
                "evaluated",
                "identified",
                "purged",
                "received",
                "registered",
                "removed",
                "reported",
                "verified",
            )
        ]
        + [("opt-out-0002", "received", days(22))],
    ),
    "What was destroyed, when, and for whose request?": (
        "destroyed_at kind place locator request_id contributor_key",
        [(days(20), "vector", "dvc-cache", md5("vector cyd first"), "opt-out-0001", CYD)],
    ),
    "Is everything of a request gone, object by object?": ("kind verdict", [("vector", "absent")]),
    "Is anything planned for destruction still there?": ("locator", []),
    "Is anything of somebody who was erased still in a state or model that exists?": (
        "locator",
        [],
    ),
    "Who has left, and which versions with them in it still exist?": (
        "contributor_key status versions",
        [(CYD, "erased", None)],
    ),
    "What was written to the store on a given day?": (
        "seq table_name added changed deleted",
        [],  # asserted below: it depends on the day of the test
    ),
    "What has happened to one row?": ("seq", [(2,), (3,), (4,)]),
    "Does each entry of the audit log hold the hash of the one before?": ("seq", []),
}
DATED = "What was written to the store on a given day?"


def answer(store: Store, sql: str) -> list[dict[str, Any]]:
    with store.reader() as reader:
        table = reader.sql(sql)
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_each_question_has_an_answer_to_be_held_against() -> None:
    assert RECIPES.keys() == EXPECTED.keys()
    assert len(RECIPES) >= 20
    assert all(RECIPES.values())


@pytest.mark.parametrize("title", [title for title in RECIPES if title != DATED])
def test_a_question_gets_its_answer(title: str, told: Store) -> None:
    columns, expected = EXPECTED[title]
    rows = answer(told, RECIPES[title][0])
    found = [tuple(row[column] for column in columns.split()) for row in rows]
    assert sorted(found, key=repr) == sorted(expected, key=repr)


def test_today_is_what_the_log_was_written_on(told: Store) -> None:
    rows = answer(told, RECIPES[DATED][0])
    assert {"seq": 3, "table_name": "membership", "added": 2, "changed": 1, "deleted": 0} in rows


def test_the_second_block_of_a_question_runs_too(told: Store) -> None:
    (verdict,) = answer(
        told, RECIPES["Is each merge the sum of exactly its members, and of nothing else?"][1]
    )
    assert verdict == {"state_seq": 3, "sum_of_exactly_its_members": True}


def test_a_record_is_found_by_its_hash(populated: Store) -> None:
    sql = RECIPES["Which models was a record in?"][0]
    (example,) = re.findall(r"[0-9a-f]{64}", sql)
    rows = answer(populated, sql.replace(example, record("bob", "second")))
    assert [row["version"] for row in rows] == [2, 3]


def test_a_sum_with_somebody_struck_out_is_not_the_sum_of_its_members(told: Store) -> None:
    tamper(told, f"DELETE FROM membership WHERE contributor_key = '{DAN}'")
    (row,) = answer(told, RECIPES["Is version 3 exactly the sum of its listed members?"][0])
    assert row["sum_of_exactly_its_members"] is False


def test_the_digest_check_of_the_docs_is_the_very_sql_that_runs() -> None:
    view = (ROOT / "lineage" / "views" / "2_digest_check.sql").read_text(encoding="utf-8")
    recipe = RECIPES["Is each merge the sum of exactly its members, and of nothing else?"][0]
    assert recipe in view.replace("CREATE OR REPLACE VIEW digest_check AS\n", "")
