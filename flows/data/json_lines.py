"""Rows of a JSON Lines file, by the standard library: one object a line, in UTF-8."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from flows.data.fields import json_number, no_constant, require_shallow
from flows.data.row_files import MAX_ROW_BYTES, Size
from flows.data.rows import Kind, fields_of
from flows.errors import UsageError


@dataclass(frozen=True)
class _Number:
    """A number as it is written; a long one, in a field that is not read, is never worked out."""

    text: str


_NESTED = ("messages", "tools")
"""Fields that hold more than a text: the numbers of a tool's arguments, say."""


class _Fields(dict[str, Any]):
    """A JSON object that knows which of its names came twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(name for name, _ in pairs) if len(pairs) > len(self) else {}
        self.twice = {name for name, number in counts.items() if number > 1}


def json_lines(path: Path, kinds: Sequence[Kind]) -> Iterator[tuple[str, Any]]:
    """Every row with where it stands; a row is what JSON says, of which more is asked later."""
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
            parse_int=_Number,
            parse_float=_Number,
            object_pairs_hook=_Fields,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(row, _Fields):
        return row
    _require_once(row.twice.intersection(read))
    nested = {name: row[name] for name in _NESTED if name in read and name in row}
    require_shallow(nested)
    return {**row, **{name: _plain(own) for name, own in nested.items()}}


def _plain(value: Any) -> Any:
    """What a nested field says. Raises ValueError for a name that is there twice, a long number."""
    if isinstance(value, _Number):
        return json_number(value.text)
    if isinstance(value, _Fields):
        _require_once(value.twice)
        return {name: _plain(own) for name, own in value.items()}
    return [_plain(own) for own in value] if isinstance(value, list) else value


def _require_once(twice: Collection[str]) -> None:
    for name in sorted(twice):
        raise ValueError(f"field {name!r} is there twice")
