"""Files of rows: JSON Lines and CSV by the standard library, Parquet by Arrow.

Only the fields that are read are decoded: what else a file holds decides nothing. What one row, and
one file, may come to when it is decoded is bounded, and counted while it is read.
"""

import csv
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from flows.data.parquet import parquet_rows
from flows.data.row_files import Columns, Size, unreadable
from flows.data.rows import ALL_KINDS, Kind, fields_of, no_constant
from flows.errors import UsageError

MAX_ROW_BYTES = 1 << 26
"""64 MiB: of one line of JSON, or one field of CSV, with all that is not read."""


def read_rows(path: Path, kinds: Sequence[Kind] = ALL_KINDS) -> Iterator[tuple[str, Any]]:
    """Every row of a file with where it stands, such as `rows.jsonl line 3`.

    The ending says the format: .jsonl (or .ndjson), .csv, .parquet. Of a row only the fields of
    `kinds` mean anything. Raises UsageError for a missing, empty, unreadable or malformed file, for
    one without the columns that are needed, and for one that is larger than `Size` allows.
    """
    readers = {
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".csv": _csv,
        ".parquet": parquet_rows,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            f"{path.name!r} is none of {', '.join(readers)}.", remedy="convert it to JSON Lines."
        )
    if not path.is_file():
        raise UsageError(f"{path} is not a file.", remedy="check the path.")
    empty = True
    for row in reader(path, kinds):
        empty = False
        yield row
    if empty:
        raise UsageError(f"{path} has no rows.", remedy="give a file with at least one row.")


# ---- JSON Lines ----------------------------------------------------------------------------------


class _Number:
    """A number, which no field that is read may be; a long one is never worked out."""


_NUMBER = _Number()


class _Fields(dict[str, Any]):
    """A JSON object that knows which of its names came twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(name for name, _ in pairs) if len(pairs) > len(self) else {}
        self.twice = {name for name, number in counts.items() if number > 1}


def _json_lines(path: Path, kinds: Sequence[Kind]) -> Iterator[tuple[str, Any]]:
    read = fields_of(kinds)
    size = Size(path)
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file), start=1):
            where = f"{path.name} line {number}"
            if len(line) > MAX_ROW_BYTES:
                raise UsageError(
                    f"{where} has more than {MAX_ROW_BYTES >> 20} MiB.",
                    remedy="write one JSON object a line; nothing was added.",
                )
            size.add(len(line))
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip(" \t\r\n"):
                    yield where, _from_json(text, read)
            except UnicodeDecodeError as error:
                raise UsageError(
                    f"{where} is not UTF-8: {error.reason} at byte {error.start + 1}.",
                    remedy="convert the file to UTF-8; nothing was added.",
                ) from error
            except ValueError as error:
                raise UsageError(
                    f"{where} is not JSON: {error}.",
                    remedy="write one JSON object a line; nothing was added.",
                ) from error


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file; of one that is too long, enough to tell."""
    while line := file.readline(MAX_ROW_BYTES + 1):
        yield line


def _from_json(text: str, read: Collection[str]) -> Any:
    # Python's own parser takes more than JSON allows and keeps the last of two equal fields.
    try:
        row = json.loads(
            text,
            parse_constant=no_constant,
            parse_int=lambda _: _NUMBER,
            parse_float=lambda _: _NUMBER,
            object_pairs_hook=_Fields,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if isinstance(row, _Fields):
        inner = (turn.twice for turn in _turns(row) if isinstance(turn, _Fields))
        if twice := sorted(row.twice.intersection(read).union(*inner)):
            raise ValueError(f"field {twice[0]!r} is there twice")
    return row


def _turns(row: _Fields) -> list[Any]:
    turns = row.get("messages")
    return turns if isinstance(turns, list) else []


# ---- CSV -----------------------------------------------------------------------------------------


def _csv(path: Path, kinds: Sequence[Kind]) -> Iterator[tuple[str, Any]]:
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
