"""What commands print: tables and sentences for people, JSON for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from flows.workspace.characters import plain, plain_json

if TYPE_CHECKING:
    from lineage.graph import Graph, Node

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print one sentence; nothing in it is taken for markup."""
    out.print(plain(text), markup=False)


def alarm(text: str) -> None:
    """Print one sentence that nobody should miss."""
    out.print(plain(text), markup=False, style="bold red")


def count(number: int, what: str) -> str:
    """Such as `1 row` and `2 rows`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output. JSON has no NaN or infinity: they become null."""
    print(json_text(value))


def json_text(value: Any) -> str:
    """A value as JSON that a terminal shows and does not obey."""
    text = json.dumps(as_plain_json(value), indent=2, ensure_ascii=False, allow_nan=False)
    return plain_json(text)


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


def print_graph(graph: Graph) -> None:
    """Print a lineage graph as a tree: what is served last, and below each node what it led to.

    A node that is reached again is named, and not followed a second time.
    """
    tree = Tree(escape(plain(graph.title)), style="bold", guide_style="dim")
    shown: set[str] = set()

    def grow(branch: Tree, node: Node) -> None:
        own = branch.add(_node(node, again=node.name in shown and bool(graph.after(node.name))))
        if node.name not in shown:
            shown.add(node.name)
            for following in graph.after(node.name):
                grow(own, following)

    targets = {target for _, target in graph.edges}
    for node in graph.nodes:
        if node.name not in targets:
            grow(tree, node)
    for kind, number in graph.left_out.items():
        tree.add(f"[dim]and {number} older: {escape(kind)}[/dim]")
    out.print(tree)


def _node(node: Node, *, again: bool) -> str:
    style = {"in use": "green", "kept": "default", "gone": "bright_black"}[node.state]
    when = f"destroyed {node.gone_at:%Y-%m-%d}" if node.gone_at else ""
    if node.gone_at and node.kind == "contributor":
        when = f"erased {node.gone_at:%Y-%m-%d}"
    kind = "" if node.label.startswith(node.kind.split()[-1]) else node.kind
    text = "  ".join(part for part in (kind, node.label, node.detail, when) if part)
    return f"[not bold {style}]{escape(plain(text))}{'  (as above)' if again else ''}[/]"


def quality(value: float | None, margin: float | None = None) -> str | None:
    """A measured quality for a table: to the decimals that are published, and no more.

    With how far it may be off, where it is the mean of those who were drawn.
    """
    if value is None:
        return None
    return f"{value:.2f} ± {margin:.2f}" if margin else f"{value:.2f}"


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return str(value)


def as_plain_json(value: object) -> object:
    """JSON's own types and nothing else; what it does not know becomes text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): as_plain_json(own) for key, own in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_plain_json(own) for own in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
