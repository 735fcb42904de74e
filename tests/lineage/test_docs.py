"""What docs/reference/lineage.md says is what the store does."""

from collections.abc import Callable
from typing import Literal

import pytest

from lineage import LineageStore
from tests.support.pages import blocks
from tests.support.paths import ROOT
from tests.support.schema_pages import schema_pages

DOCS = (ROOT / "docs/reference/lineage.md").read_text(encoding="utf-8")
BLOCKS = blocks(DOCS, "sql")


@pytest.mark.parametrize("sql", BLOCKS, ids=range(len(BLOCKS)))
def test_every_block_of_sql_runs_alone(sql: str, populated: LineageStore) -> None:
    with populated.reader() as reader:
        reader.sql(sql)


@pytest.mark.parametrize("kind", ["tables", "views"])
def test_every_table_and_view_is_described_column_by_column(
    kind: Literal["tables", "views"], store: LineageStore, held_to: Callable[[str, str, str], None]
) -> None:
    held_to("lineage", kind, "\n\n".join(schema_pages(store, kind).values()))
