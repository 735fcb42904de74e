"""Files of rows: JSON Lines and CSV by the standard library, Parquet by Arrow."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from flows.errors import UsageError


def read_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Every row of a file with where it stands, such as `rows.jsonl line 3`.

    The ending says the format: .jsonl (or .ndjson), .csv, .parquet. Raises UsageError for a
    missing, empty, unreadable or malformed file.
    """
    kinds = {".jsonl": _json_lines, ".ndjson": _json_lines, ".csv": _csv, ".parquet": _parquet}
    reader = kinds.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            f"{path.name!r} is none of {', '.join(kinds)}.", remedy="convert it to JSON Lines."
        )
    if not path.is_file():
        raise UsageError(f"{path} is not a file.", remedy="check the path.")
    empty = True
    for row in reader(path):
        empty = False
        yield row
    if empty:
        raise UsageError(f"{path} has no rows.", remedy="give a file with at least one row.")


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path.name} line {number}"
            try:
                yield where, json.loads(line.decode("utf-8"), parse_constant=_no_constant)
            except (ValueError, RecursionError) as error:
                raise UsageError(
                    f"{where} is not JSON: {error}.", remedy="mend this line; nothing was added."
                ) from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _csv(path: Path) -> Iterator[tuple[str, Any]]:
    # Every value stays text: an id such as 007 must not become a number.
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.DictReader(file, strict=True), start=1):
                if None in row or None in row.values():
                    raise UsageError(
                        f"{path.name} row {number} has not as many fields as the header.",
                        remedy="mend this row; nothing was added.",
                    )
                yield f"{path.name} row {number}", {k: v or None for k, v in row.items()}
    except (csv.Error, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        file = pa.parquet.ParquetFile(path)
        number = 0
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"{path.name} row {number}", row
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UsageError:
    first_line = str(error).splitlines()[0]
    return UsageError(f"{path} is not readable: {first_line}.", remedy="mend or convert the file.")
