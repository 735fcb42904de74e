"""An answer of the lineage store in the form that somebody needs it in."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from flows.cli.render import as_plain_json, count, json_text, print_json, print_table
from flows.data.spreadsheet import write_csv
from flows.errors import UsageError
from flows.workspace.characters import plain

if TYPE_CHECKING:
    from lineage import Reader, Table


class Format(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


def chosen_format(wanted: Format | None, output: Path | None) -> Format:
    """The format that was asked for, or the one that the file's ending names, or a table.

    Raises UsageError where the two cannot go together.
    """
    if wanted is None:
        endings = {f".{one}": one for one in (Format.JSON, Format.CSV, Format.PARQUET)}
        wanted = endings.get(output.suffix.lower(), Format.TABLE) if output else Format.TABLE
    if output is None and wanted is Format.PARQUET:
        raise UsageError("Parquet is not for a terminal.", remedy="name a file with --output.")
    if output is not None and wanted is Format.TABLE:
        raise UsageError(
            f"{output} has no ending that says how to write it.",
            remedy="name a .json, .csv or .parquet file, or give --format.",
        )
    return wanted


def write_answer(reader: "Reader", query: str, form: Format, output: Path | None) -> None:
    """Answer a query on standard output, or into a new file. Raises UsageError, LineageError."""
    if output is None:
        _print(reader.sql(query), form)
        return
    answer = reader.arrow(query) if form is Format.PARQUET else reader.sql(query)
    with new_file(output) as file:
        _WRITERS[form](answer, file)


def _print(answer: "Table", form: Format) -> None:
    if form is Format.TABLE:
        title = count(len(answer.rows), "row")
        print_table(title, answer.columns, answer.rows, right=len(answer.columns))
    elif form is Format.JSON:
        print_json(_objects(answer))
    else:
        _rows_as_csv(answer, sys.stdout)


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file to write, gone again after an error. Raises UsageError where there is one."""
    try:
        file = path.open("xb")
    except FileExistsError:
        raise UsageError(f"{path} is there already.", remedy="name a new file.") from None
    except FileNotFoundError:
        raise UsageError(f"There is no folder {path.parent}.", remedy="make it first.") from None
    try:
        with file:
            yield file
    except BaseException:
        path.unlink()
        raise


def _objects(answer: "Table") -> list[dict[str, Any]]:
    if len(set(answer.columns)) < len(answer.columns):
        raise UsageError(
            "Two columns of the answer have one name.", remedy="name them apart with AS."
        )
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def _json(answer: "Table", file: IO[bytes]) -> None:
    file.write(f"{json_text(_objects(answer))}\n".encode())


def _csv(answer: "Table", file: IO[bytes]) -> None:
    text = TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    _rows_as_csv(answer, text)
    text.detach()


def _rows_as_csv(answer: "Table", file: IO[str]) -> None:
    # What a terminal would obey is spelled out there; a file keeps it.
    shown = plain if file.isatty() else str
    rows = ([_cell(value, shown) for value in row] for row in answer.rows)
    write_csv(file, [shown(name) for name in answer.columns], rows)


def _cell(value: object, shown: Callable[[str], str]) -> object:
    """A list is JSON, a time ISO 8601; CSV has no NULL: it is an empty field."""
    own = as_plain_json(value)
    if isinstance(own, list | dict):
        own = json.dumps(own, ensure_ascii=False)
    return shown(own) if isinstance(own, str) else own


def _parquet(answer: Any, file: IO[bytes]) -> None:
    import pyarrow.parquet

    names = cast(list[str], answer.column_names)
    if len(set(names)) < len(names):
        raise UsageError(
            "Two columns of the answer have one name.", remedy="name them apart with AS."
        )
    pyarrow.parquet.write_table(answer, file)


_WRITERS: dict[Format, Callable[[Any, IO[bytes]], None]] = {
    Format.JSON: _json,
    Format.CSV: _csv,
    Format.PARQUET: _parquet,
}
