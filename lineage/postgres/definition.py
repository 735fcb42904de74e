"""PostgreSQL's tables, made from what DuckDB understood of the migrations.

The migrations run on empty tables of a DuckDB in memory; what its catalogue then says is there, and
was not before, is said to PostgreSQL. So no migration is written twice, and none is read by us.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from lineage.errors import LineageSchemaError
from lineage.sql_files import Connection

# ruff: noqa: S608
# The only name put into SQL text below is a schema's of this package.

TYPES = {
    "VARCHAR": "character varying",
    "VARCHAR[]": "character varying[]",
    "UBIGINT": "numeric(20,0)",
    "DOUBLE": "double precision",
    "JSON": "text",
    "TIMESTAMP": "timestamp without time zone",
    "BIGINT": "bigint",
    "INTEGER": "integer",
    "BOOLEAN": "boolean",
}
"""DuckDB's type → PostgreSQL's that holds exactly the same values, as PostgreSQL names it."""
CAST = frozenset({"UBIGINT", "DOUBLE", "JSON"})
"""The types that come back as others, unless they are cast."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    type: str
    nullable: bool
    comment: str | None


@dataclass
class TableDefinition:
    """One table as DuckDB's catalogue has it: columns in order, keys and checks as SQL."""

    comment: str | None
    columns: dict[str, Column] = field(default_factory=dict)
    constraints: list[str] = field(default_factory=list)


def definitions(connection: Connection, schema: str) -> dict[str, TableDefinition]:
    """The tables of a schema of the DuckDB in memory, by name."""
    there = f"WHERE database_name = 'memory' AND schema_name = '{schema}'"
    asked = f"SELECT table_name, comment FROM duckdb_tables() {there} ORDER BY table_name"
    found = {name: TableDefinition(said) for name, said in connection.execute(asked).fetchall()}
    columns = f"""SELECT table_name, column_name, data_type, is_nullable, comment
        FROM duckdb_columns() {there} ORDER BY table_name, column_index"""
    for table, name, type_, nullable, comment in connection.execute(columns).fetchall():
        if table in found:  # not a view's
            found[table].columns[name] = Column(type_, nullable, comment)
    constraints = f"""SELECT table_name, constraint_text FROM duckdb_constraints() {there}
        AND constraint_type IN ('PRIMARY KEY', 'CHECK') ORDER BY table_name, constraint_index"""
    for table, text in connection.execute(constraints).fetchall():
        found[table].constraints.append(text)
    return found


def statements(
    before: dict[str, TableDefinition], after: dict[str, TableDefinition], schema: str
) -> Iterator[str]:
    """SQL for PostgreSQL that makes the one set of tables the other.

    Raises LineageSchemaError for a change that is none of: a new table, a new column, a column that
    may now be NULL, other keys and checks, a comment.
    """
    for table, wanted in after.items():
        name, there = f"{schema}.{table}", before.get(table)
        if there is None:
            yield _created(name, wanted)
        else:
            yield from _altered(name, there, wanted)
        known = TableDefinition(None) if there is None else there
        if wanted.comment != known.comment:
            yield f"COMMENT ON TABLE {name} IS {quoted(wanted.comment)}"
        for column, one in wanted.columns.items():
            was = known.columns.get(column)
            if one.comment != (was and was.comment):
                yield f"COMMENT ON COLUMN {name}.{column} IS {quoted(one.comment)}"
    if gone := before.keys() - after.keys():
        raise _cannot(f"drops the table {min(gone)}")


def _created(name: str, table: TableDefinition) -> str:
    columns = [_column(column, one) for column, one in table.columns.items()]
    return f"CREATE TABLE {name} ({', '.join([*columns, *table.constraints])})"


def _altered(name: str, there: TableDefinition, wanted: TableDefinition) -> Iterator[str]:
    for column, one in wanted.columns.items():
        was = there.columns.get(column)
        if was is None:
            yield f"ALTER TABLE {name} ADD COLUMN {_column(column, one)}"
        elif (was.type, was.nullable) != (one.type, one.nullable):
            if was.type != one.type or was.nullable:
                raise _cannot(f"changes the column {column} of {name}")
            yield f"ALTER TABLE {name} ALTER COLUMN {column} DROP NOT NULL"
    if gone := there.columns.keys() - wanted.columns.keys():
        raise _cannot(f"drops the column {min(gone)} of {name}")
    if there.constraints != wanted.constraints:
        yield _WITHOUT_CONSTRAINTS.format(name=name)
        for constraint in wanted.constraints:
            yield f"ALTER TABLE {name} ADD {constraint}"


# PostgreSQL gave keys and checks their names, so they are asked for.
_WITHOUT_CONSTRAINTS = """DO $$ DECLARE own text; BEGIN
    FOR own IN SELECT conname FROM pg_constraint
        WHERE conrelid = '{name}'::regclass AND contype IN ('p', 'c')
    LOOP EXECUTE format('ALTER TABLE {name} DROP CONSTRAINT %I', own); END LOOP;
END $$"""


def _column(name: str, column: Column) -> str:
    return f"{name} {TYPES[column.type]}{'' if column.nullable else ' NOT NULL'}"


def quoted(text: str | None) -> str:
    """A text as SQL has it."""
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def _cannot(what: str) -> LineageSchemaError:
    return LineageSchemaError(
        f"a migration {what}, which is not done in PostgreSQL.",
        remedy="write it as new tables and columns, or extend lineage/postgres/definition.py.",
    )
