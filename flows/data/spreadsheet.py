"""CSV that we write, safe to open in a spreadsheet.

A spreadsheet runs a cell that begins like a formula, whoever wrote it. Such a text gets an
apostrophe before it, as a spreadsheet itself marks what is text; numbers stay as they are. For
programs there are JSON and Parquet, in which no value is changed.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from typing import IO

_BEGINS_A_FORMULA = re.compile("[=+@\t\r\n\uff1d\uff0b\uff20\uff0d\u2212-]")
_END = "\r\n"
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def write_csv(file: IO[str], header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table; a text that a spreadsheet would run is marked as text."""
    writer = csv.writer(_Lines(file), lineterminator=_END)
    writer.writerow([safe_cell(name) for name in header])
    writer.writerows([safe_cell(value) for value in row] for row in rows)


class _Lines:
    """Rows that end with `\\n`, in which `\\r` is quoted too: many readers end a row there."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, row: str) -> None:
        self._file.write(row.removesuffix(_END) + "\n")


def safe_cell(value: object) -> object:
    """A cell as a spreadsheet shows it and does not run it."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    # Spaces and what cannot be seen are skipped by some before they look.
    begins = value.lstrip(" \u00a0\u200b\ufeff\x00")
    return f"'{value}" if _BEGINS_A_FORMULA.match(begins) else value
