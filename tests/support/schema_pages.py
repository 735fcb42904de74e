"""The schema part of docs/lineage.md, written from the comments that the store itself carries."""

from lineage import LineageStore


def schema_pages(store: LineageStore) -> dict[str, str]:
    """Return {table or view: Markdown} as docs/lineage.md must have it; key columns are bold."""
    with store.reader() as reader:
        things = reader.sql(
            "SELECT table_name, comment FROM duckdb_tables() UNION ALL"
            " SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"
        ).rows
        columns = reader.sql(
            "SELECT table_name, column_name, data_type, comment FROM duckdb_columns()"
            " WHERE NOT internal AND schema_name = 'main' ORDER BY table_name, column_index"
        ).rows
        keys = reader.sql(
            "SELECT table_name, unnest(constraint_column_names) FROM duckdb_constraints()"
            " WHERE constraint_type = 'PRIMARY KEY'"
        ).rows

    def line(table: str, column: str, kind: str, meaning: str) -> str:
        name = f"**`{column}`**" if (table, column) in keys else f"`{column}`"
        return f"| {name} | {kind} | {meaning} |"

    head = ["| column | type | meaning |", "|---|---|---|"]
    return {
        name: "\n".join(
            [
                f"### `{name}`",
                "",
                comment,
                "",
                *head,
                *(line(*row) for row in columns if row[0] == name),
            ]
        )
        for name, comment in things
    }
