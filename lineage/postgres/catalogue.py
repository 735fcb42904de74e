"""What a store in PostgreSQL is made of, held against what our own files make.

Views are made for each session, in memory, so what can be another there are the tables themselves:
a view in the place of a table, a trigger, a rule, a default, a column of another type. Of a check
PostgreSQL keeps a spelling of its own, so checks are counted.

An operator of somebody else's would answer in the place of PostgreSQL's where it fits better, or
where a setting of the database lets its schema come first. So types are compared as they are, and a
path that puts anything before PostgreSQL's own names is refused before the catalogue is asked.
"""

from collections import Counter
from typing import Any

from lineage.catalogue import Thing, own_catalogue
from lineage.errors import LineageAlteredError
from lineage.postgres.definition import TYPES

# ruff: noqa: S608
# The only name put into SQL text below is our own schema's.

_PLAIN_TABLE = ("r", "p", "False", "False", "False", "False", "False")
_PLAIN_COLUMN = ("False", "", "", "False")  # 100 below is the default collation
_OWN_NAMES = "pg_catalog"
PATH = f"SELECT {_OWN_NAMES}.current_setting('search_path')"
"""SQL for PostgreSQL: where it looks for what has no schema before its name."""


def require_own_names_first(path: str) -> None:
    """Raise LineageAlteredError where PostgreSQL looks elsewhere before it looks at its own.

    It looks there first unless the path names them behind others.
    """
    names = [name.strip().strip('"') for name in path.split(",")]
    if _OWN_NAMES in names[1:]:
        raise LineageAlteredError(
            f"the lineage store was altered: its search_path is {path}, so that PostgreSQL's own "
            "functions may be others.",
            remedy="do not rely on what it says, and undo what set it (ALTER DATABASE or ALTER ROLE"
            " … RESET search_path). Restore the store from a backup, then run `sift audit`.",
        )


def asked(schema: str) -> str:
    """SQL for PostgreSQL: kind, name and texts of all that the schema holds."""
    there = f"(SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = '{schema}')"
    ours = f"JOIN pg_catalog.pg_class c ON c.relnamespace = {there} AND c.oid ="
    return f"""
        SELECT 'table', relname, ARRAY[relkind::text, relpersistence::text, relhasrules::text,
            relhastriggers::text, relrowsecurity::text, relispartition::text,
            relhassubclass::text]
        FROM pg_catalog.pg_class WHERE relnamespace = {there} AND relkind <> 'i'
        UNION ALL
        SELECT 'column', relname, ARRAY[attname, attnum::text, format_type(atttypid, atttypmod),
            (NOT attnotnull)::text, atthasdef::text, attidentity::text, attgenerated::text,
            (attcollation NOT IN ('0', '100'))::text]
        FROM pg_catalog.pg_attribute {ours} attrelid
        WHERE attnum > 0 AND NOT attisdropped AND relkind <> 'i'
        UNION ALL
        SELECT 'constraint', relname, ARRAY[contype::text, count(*)::text]
        FROM pg_catalog.pg_constraint {ours} conrelid WHERE contype NOT IN ('n', 'p')
        GROUP BY relname, contype
        UNION ALL
        SELECT 'constraint', relname, ARRAY[pg_get_constraintdef(pg_constraint.oid)]
        FROM pg_catalog.pg_constraint {ours} conrelid WHERE contype = 'p'
        UNION ALL
        SELECT 'index', i.relname, ARRAY[c.relname]
        FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
        {ours} x.indrelid WHERE NOT x.indisprimary
        UNION ALL
        SELECT 'function', proname, ARRAY[prosrc]
        FROM pg_catalog.pg_proc WHERE pronamespace = {there}
        UNION ALL
        SELECT 'type', typname, ARRAY[typtype::text]
        FROM pg_catalog.pg_type WHERE typnamespace = {there} AND typrelid = '0'
            AND (typelem = '0' OR typtype <> 'b')"""


def things(rows: list[Any]) -> frozenset[Thing]:
    """What PostgreSQL answered."""
    truth = {"true": "True", "false": "False"}
    return frozenset(
        Thing(kind, name, tuple(truth.get(text, text) for text in texts))
        for kind, name, texts in rows
    )


def own_things() -> frozenset[Thing]:
    """What our migrations make there."""
    own = own_catalogue()
    tables = {one.name for one in own if one.kind == "table"}
    found = {Thing("table", name, _PLAIN_TABLE) for name in tables}
    checks = Counter[str]()
    for one in own:
        if one.name not in tables:
            continue
        if one.kind == "column":
            name, index, type_, nullable = one.texts[:4]
            texts = (name, index, TYPES[type_], nullable, *_PLAIN_COLUMN)
            found.add(Thing("column", one.name, texts))
        elif one.kind == "constraint" and one.texts[0] == "PRIMARY KEY":
            found.add(Thing("constraint", one.name, (_in_postgres(one.texts[1]),)))
        elif one.kind == "constraint" and one.texts[0] == "CHECK":
            checks[one.name] += 1
    found |= {Thing("constraint", name, ("c", str(n))) for name, n in checks.items()}
    return frozenset(found)


def _in_postgres(key: str) -> str:
    """A primary key of DuckDB's catalogue as PostgreSQL writes it: no quotes, and a space."""
    return key.replace('"', "").replace("KEY(", "KEY (")
