"""Tables and views of the lineage store, written from the comments that it carries."""

from typing import Literal

from lineage import LineageStore
from tests.support.pages import table
from tests.support.paths import ROOT

_VIEWS = {path.stem.partition("_")[2] for path in (ROOT / "lineage/views").glob("*.sql")}
_NAMES = (
    "SELECT table_name, comment FROM duckdb_tables() UNION ALL"
    " SELECT view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY 1"
)
"""Where a store is shared, DuckDB sees its tables as views."""
_COLUMNS = (
    "SELECT table_name, column_name, data_type, comment FROM duckdb_columns()"
    " WHERE NOT internal AND schema_name = 'main' ORDER BY table_name, column_index"
)
_KEYS = (
    "SELECT table_name, unnest(constraint_column_names) FROM duckdb_constraints()"
    " WHERE constraint_type = 'PRIMARY KEY'"
)


def schema_pages(store: LineageStore, kind: Literal["tables", "views"]) -> dict[str, str]:
    """Return {table or view: Markdown}, as in docs/reference/lineage.md; key columns are bold."""
    with store.reader() as reader:
        things, columns, keys = (reader.sql(each).rows for each in (_NAMES, _COLUMNS, _KEYS))

    def row(table_name: str, column: str, of_type: str, meaning: str) -> tuple[str, str, str]:
        bold = "**" if (table_name, column) in keys else ""
        return f"{bold}`{column}`{bold}", of_type, meaning

    return {
        name: f"### `{name}`\n\n{comment}\n\n"
        + table(("column", "type", "meaning"), [row(*own) for own in columns if own[0] == name])
        for name, comment in things
        if (name in _VIEWS) == (kind == "views")
    }
