"""What commands print: tables and sentences for people, JSON for machines."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
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
    out.print(text, markup=False)


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    print(json.dumps(value, indent=2, default=_plain, ensure_ascii=False))


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: int = 1
) -> None:
    """Print rows; the first `right` columns are left-aligned, numbers after them right."""
    table = Table(title=escape(title), title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(escape(column), justify="left" if index < right else "right")
    for row in rows:
        table.add_row(*(escape(_cell(value)) for value in row))
    out.print(table)


@contextmanager
def progress_bars(*, quiet: bool) -> Iterator[None]:
    """Show progress of the work within on standard error, one bar per kind of work."""
    if quiet:
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

    def show(what: str, done: int, total: int) -> None:
        if total and (what, total) not in tasks:
            tasks[what, total] = bars.add_task(what, total=total)
        if total:
            bars.update(tasks[what, total], completed=done)

    with bars, listening(show):
        yield


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return str(value)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return str(value)
