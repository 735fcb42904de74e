"""Rows of a CSV file, by the standard library: a header, commas, UTF-8."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flows.data.row_files import MAX_ROW_BYTES, Columns, Size, unreadable
from flows.data.rows import Kind
from flows.errors import UsageError


def csv_rows(path: Path, kinds: Sequence[Kind]) -> Iterator[tuple[str, Any]]:
    """Every row with where it stands."""
    # Every value stays text: an id such as 007 must not become a number.
    csv.field_size_limit(MAX_ROW_BYTES)
    size = Size(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            if not header:
                return
            columns = Columns.named(path, header, kinds)
            for number, row in enumerate(rows, start=1):
                if not row:
                    continue
                if len(row) != len(header):
                    raise UsageError(
                        f"{path.name} row {number} has {len(row)} fields, not as many fields as "
                        f"the header: {len(header)}.",
                        remedy="mend this row, or quote what holds a comma; nothing was added.",
                    )
                size.add(sum(map(len, row)))
                yield (
                    f"{path.name} row {number}",
                    {name: row[at] or None for name, at in columns.places.items()},
                )
    except (csv.Error, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
