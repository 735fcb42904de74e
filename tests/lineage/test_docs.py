"""What docs/lineage.md says is what the store does."""

import re

import pytest

from lineage import LineageStore
from tests.support.paths import ROOT
from tests.support.schema_pages import schema_pages

DOCS = (ROOT / "docs" / "lineage.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sql\n(.*?)^```", DOCS, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("sql", BLOCKS, ids=range(len(BLOCKS)))
def test_every_block_of_sql_runs_alone(sql: str, populated: LineageStore) -> None:
    with populated.reader() as reader:
        reader.sql(sql)


def test_every_table_and_view_is_described_column_by_column(store: LineageStore) -> None:
    pages = schema_pages(store)
    missing = [page for page in pages.values() if page not in DOCS]
    assert missing == [], "copy these into docs/lineage.md"
    described = re.findall(r"^### `(\w+)`", DOCS, flags=re.MULTILINE)
    assert sorted(described) == sorted(pages)
