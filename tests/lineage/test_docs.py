"""What docs/lineage.md says is what the store does."""

import re
from pathlib import Path

import pytest

from lineage import LineageStore
from tests.lineage.population import key
from tests.lineage.schema_pages import schema_pages

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "lineage.md").read_text(encoding="utf-8")
RECIPES = {
    title: sql
    for title, body in re.findall(r"^### (.+?)\n(.*?)(?=^##)", DOCS, flags=re.DOTALL | re.MULTILINE)
    for sql in re.findall(r"^```sql\n(.*?)^```", body, flags=re.DOTALL | re.MULTILINE)[:1]
}
BLOCKS = re.findall(r"^```sql\n(.*?)^```", DOCS, flags=re.DOTALL | re.MULTILINE)


def answer(store: LineageStore, title: str) -> list[dict[str, object]]:
    with store.reader() as reader:
        table = reader.sql(RECIPES[title])
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


@pytest.mark.parametrize("sql", BLOCKS, ids=range(len(BLOCKS)))
def test_every_block_of_sql_runs_alone(sql: str, populated: LineageStore) -> None:
    with populated.reader() as reader:
        reader.sql(sql)


def test_there_are_recipes_enough() -> None:
    assert len(RECIPES) >= 8


def test_every_table_and_view_is_described_column_by_column(store: LineageStore) -> None:
    pages = schema_pages(store)
    missing = [page for page in pages.values() if page not in DOCS]
    assert missing == [], "copy these into docs/lineage.md"
    described = re.findall(r"^### `(\w+)`", DOCS, flags=re.MULTILINE)
    assert sorted(described) == sorted(pages)


def test_the_digest_check_of_the_docs_is_the_very_sql_that_runs() -> None:
    view = (ROOT / "lineage" / "views" / "2_digest_check.sql").read_text(encoding="utf-8")
    recipe = RECIPES["Is each merge the sum of exactly its members, and of nothing else?"]
    assert recipe in view.replace("CREATE OR REPLACE VIEW digest_check AS\n", "")


def test_the_recipes_answer_what_their_titles_ask(populated: LineageStore) -> None:
    in_three = answer(populated, "Which contributors were in version 3 on a given day?")
    assert [row["external_id"] for row in in_three] == ["ada", "bob", "dan"]
    served = answer(
        populated, "Which contributors were in the model that was being served on a given day?"
    )
    assert {row["contributor_key"] for row in served} == {
        key(name) for name in ("ada", "bob", "cyd", "dan")
    }
    assert {row["version"] for row in served} == {2}
    checked = answer(
        populated, "Is each merge the sum of exactly its members, and of nothing else?"
    )
    assert len(checked) == 12
    assert all(row["equal"] for row in checked)
    touched = answer(
        populated, "What has a contributor's data touched, and what of it still exists?"
    )
    assert [row["kind"] for row in touched].count("model version") == 3
    learned = answer(populated, "What did the current model learn from?")
    assert [row["external_id"] for row in learned] == ["ada", "bob", "dan"]
    (base,) = answer(populated, "On what public data was the base prepared?")
    assert (base["public_data"], base["licence"], base["rows"]) == ("public reviews", "MIT", "100")
    changes = answer(populated, "What changed from one merge to the next?")
    assert [(row["state_seq"], row["change"]) for row in changes].count((2, "in")) == 2
    quality = answer(populated, "Does the mask pay, and did those who stayed lose anything?")
    assert [row["contributors"] for row in quality] == [3, 4, 3]
    gone = answer(populated, "Is everything of a request gone, object by object?")
    assert {row["verdict"] for row in gone} == {"absent"}
    question = "Is anything of somebody who was erased still in a state or model that exists?"
    assert answer(populated, question) == []
    assert answer(populated, "Does every reference lead somewhere?") == []


def test_open_requests_are_listed_with_their_days(populated: LineageStore) -> None:
    question = "Which opt-out requests are open, and how long?"
    assert answer(populated, question) == []
    with populated.writer() as recorder:
        received = recorder.read.request("opt-out-0001").received_at
        recorder.receive(key("ada"), "gdpr-art-17", received)
    (row,) = answer(populated, question)
    assert (row["request_id"], row["last_step"]) == ("opt-out-0002", "received")
    assert isinstance(row["days"], int)
