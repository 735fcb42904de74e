"""Files of rows: a reader for each format, listed once.

Only the fields that are read are decoded: what else a file holds decides nothing. What one row, and
one file, may come to when it is decoded is bounded, and counted while it is read.
docs/how-to/add-a-file-format.md adds a format.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from flows.data.csv_rows import csv_rows
from flows.data.json_lines import json_lines
from flows.data.parquet import parquet_rows
from flows.data.rows import Kind
from flows.errors import UsageError

READERS: dict[str, Callable[[Path, Sequence[Kind]], Iterator[tuple[str, Any]]]] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".csv": csv_rows,
    ".parquet": parquet_rows,
}
"""The ending of a file's name → every row of it, with where it stands, such as `a.csv row 3`.

A reader decodes only the fields of the given kinds, counts them with `row_files.Size`, and raises
UsageError for whatever it cannot read.
"""


def read_rows(path: Path, kinds: Sequence[Kind]) -> Iterator[tuple[str, Any]]:
    """Every row of a file with where it stands, such as `rows.jsonl line 3`.

    The ending says the format. Of a row only the fields of `kinds` mean anything. Raises UsageError
    for a missing, empty, unreadable or malformed file, for one without the columns that are needed,
    and for one that is larger than `Size` allows.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            f"{path.name!r} is none of {', '.join(READERS)}.", remedy="convert it to JSON Lines."
        )
    if not path.is_file():
        raise UsageError(f"{path} is not a file.", remedy="check the path.")
    empty = True
    for row in reader(path, kinds):
        empty = False
        yield row
    if empty:
        raise UsageError(f"{path} has no rows.", remedy="give a file with at least one row.")
