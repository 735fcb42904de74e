"""Files of rows: JSON Lines and CSV by the standard library, Parquet by Arrow."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from flows.errors import UsageError
from flows.rows import MAX_CHARACTERS


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
            where = f"{path.name} line {number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip():
                    yield where, _from_json(text)
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


def _from_json(text: str) -> Any:
    # Python's own parser takes more than JSON allows and keeps the last of two equal fields.
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError(f"field {_twice(name for name, _ in pairs)!r} is there twice")
    return fields


def _twice(names: Iterable[str]) -> str:
    return Counter(names).most_common(1)[0][0]


def _csv(path: Path) -> Iterator[tuple[str, Any]]:
    # Every value stays text: an id such as 007 must not become a number.
    csv.field_size_limit(MAX_CHARACTERS)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            _check_header(path, rows.fieldnames or [])
            for number, row in enumerate(rows, start=1):
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
        _check_header(path, file.schema_arrow.names)
        number = 0
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"{path.name} row {number}", row
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
        raise _unreadable(path, error) from error


def _check_header(path: Path, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise UsageError(
            f"{path.name} has two columns {_twice(names)!r}.",
            remedy="rename one of them; nothing was added.",
        )


def _unreadable(path: Path, error: Exception) -> UsageError:
    first_line = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    return UsageError(
        f"{path} is not readable: {first_line}.",
        remedy="mend the file, or convert it to JSON Lines in UTF-8; nothing was added.",
    )
