"""What commands print: tables and sentences for people, JSON for machines."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from flows.progress import listening

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print one sentence; nothing in it is taken for markup."""
    out.print(plain(text), markup=False)


def count(number: int, what: str) -> str:
    """Such as `1 row` and `2 rows`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def plain(text: str) -> str:
    """The text with control characters spelled out, so that none reaches a terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output. JSON has no NaN or infinity: they become null."""
    print(json.dumps(_for_json(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: int = 1
) -> None:
    """Print rows; the first `right` columns are left-aligned, numbers after them right."""
    table = Table(title=escape(plain(title)), title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(escape(plain(column)), justify="left" if index < right else "right")
    for row in rows:
        table.add_row(*(escape(plain(_cell(value))) for value in row))
    out.print(table)


@contextmanager
def progress_bars(*, quiet: bool) -> Iterator[None]:
    """Show progress of the work within on standard error, one bar per kind of work.

    Bars are for eyes: a log file gets none.
    """
    if quiet or not err.is_terminal:
        yield
        return
    bars = Progress(
        TextColumn("{task.description:<20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
    )
    tasks: dict[tuple[str, int], Any] = {}

    with ExitStack() as shown:

        def show(what: str, done: int, total: int) -> None:
            if not total:
                return
            if not tasks:
                shown.enter_context(bars)
            if (what, total) not in tasks:
                tasks[what, total] = bars.add_task(what, total=total)
            bars.update(tasks[what, total], completed=done)

        with listening(show):
            yield


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return str(value)


def _for_json(value: object) -> object:
    """JSON's own types and nothing else; what it does not know becomes text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _for_json(own) for key, own in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_for_json(own) for own in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
