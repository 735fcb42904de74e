"""Which SQL an auditor may run: one SELECT over the store's tables and views, nothing else.

The connection is read-only and sealed off from all files already. That is not enough: some of
DuckDB's functions act on the process when they are merely selected from (`enable_logging` opens a
log file, and against a sealed connection ends the process). So the statement is parsed first, and
of the functions that can stand where a table stands only those known to be harmless are let by.
"""

import json
from collections.abc import Iterator
from typing import Any

from lineage.errors import LineageQueryError
from lineage.sql_files import Connection, run

TABLE_FUNCTIONS = frozenset(
    {
        "duckdb_columns",
        "duckdb_constraints",
        "duckdb_tables",
        "duckdb_views",
        "generate_series",
        "json_each",
        "json_tree",
        "pragma_table_info",
        "range",
        "unnest",
    }
)
_REMEDY = "write one SELECT over the tables and views of docs/reference/lineage.md."


def require_harmless(connection: Connection, text: str) -> None:
    """Raise LineageQueryError unless `text` is one SELECT that only looks at this store."""
    parsed = run(connection, "parse_select", text=text)[0]["parsed"]
    try:
        tree = json.loads(parsed)
    except RecursionError:
        raise LineageQueryError("the SQL is nested too deeply.", remedy=_REMEDY) from None
    if tree["error"]:
        reason = tree["error_message"].rstrip(".")
        raise LineageQueryError(f"the SQL was refused: {reason}.", remedy=_REMEDY)
    if len(tree["statements"]) != 1:
        raise LineageQueryError(
            f"the SQL has {len(tree['statements'])} statements where one is expected.",
            remedy=_REMEDY,
        )
    for name in _table_functions(tree):
        if name not in TABLE_FUNCTIONS:
            raise LineageQueryError(
                f"the SQL selects from the function {name}, which is not allowed here.",
                remedy=_REMEDY,
            )


def _table_functions(tree: Any) -> Iterator[str]:
    """Yield the name of every function that `tree` uses as a table, at any depth."""
    unseen = [tree]
    while unseen:
        node = unseen.pop()
        if isinstance(node, dict):
            if node.get("type") == "TABLE_FUNCTION":
                yield str(node["function"].get("function_name", "unnamed")).lower()
            unseen.extend(node.values())
        elif isinstance(node, list):
            unseen.extend(node)
