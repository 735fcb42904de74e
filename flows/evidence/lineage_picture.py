"""A lineage graph as a picture: SVG or PNG, from left to right, what is gone in grey."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve

from flows.errors import UsageError
from lineage.graph import COLUMNS, Graph, Node

FORMATS = (".svg", ".png")

# Inches; a node's box leaves room for an edge between columns.
_WIDTH, _HEIGHT = 2.05, 0.56
_COLUMN, _ROW = 2.75, 0.78
_MARGIN, _HEAD = 0.45, 1.25
_DPI = 160
_FONT = ["DejaVu Sans"]

_INK, _FAINT, _PAPER = "#1d2733", "#7b8794", "#ffffff"
_FILL = {"in use": "#e3f4ea", "kept": "#eaf1fb", "gone": "#f1f2f4"}
_LINE = {"in use": "#2f8f5b", "kept": "#5b84c4", "gone": "#b3bac3"}
_MEANING = {"in use": "in use now", "kept": "kept", "gone": "destroyed or erased"}


def draw(graph: Graph, file: IO[bytes], ending: str) -> None:
    """Write the picture; `ending` is .svg or .png. The same graph gives the same bytes."""
    settings: Any = {
        "font.family": _FONT,
        "svg.fonttype": "none",  # text stays text: small, and it can be searched
        "svg.hashsalt": "sift",
        "text.parse_math": False,  # a name may hold any sign
    }
    metadata = {"Date": None} if ending == ".svg" else {}
    with rc_context(settings):
        _figure(graph).savefig(file, format=ending.removeprefix("."), metadata=metadata)


def require_drawable(path: Path) -> str:
    """The ending of a picture's file. Raises UsageError for another than .svg and .png."""
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise UsageError(
            f"{path} is neither .svg nor .png.", remedy="name a file with one of these endings."
        )
    return ending


def _figure(graph: Graph) -> Figure:
    rows = max(len(graph.of(kind)) for kind in COLUMNS)
    width = 2 * _MARGIN + (len(COLUMNS) - 1) * _COLUMN + _WIDTH
    height = _HEAD + rows * _ROW + _MARGIN + 0.25
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor=_PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    places = dict(_places(graph, rows))
    for source, target in graph.edges:
        _edge(axes, places[source], places[target], _target(graph, target))
    for node in graph.nodes:
        _box(axes, node, *places[node.name])
    _heading(axes, graph, height)
    return figure


def _places(graph: Graph, rows: int) -> Iterator[tuple[str, tuple[float, float]]]:
    """The upper left corner of each node; a short column stands in the middle of a tall one."""
    for number, kind in enumerate(COLUMNS):
        own = graph.of(kind)
        top = _HEAD + (rows - len(own)) * _ROW / 2
        for row, node in enumerate(own):
            yield node.name, (_MARGIN + number * _COLUMN, top + row * _ROW)


def _target(graph: Graph, name: str) -> Node:
    return next(node for node in graph.nodes if node.name == name)


def _edge(axes: Axes, start: tuple[float, float], end: tuple[float, float], node: Node) -> None:
    left, right = start[0] + _WIDTH, end[0]
    above, below = start[1] + _HEIGHT / 2, end[1] + _HEIGHT / 2
    bend = (right - left) / 2
    points = [(left, above), (left + bend, above), (right - bend, below), (right, below)]
    curve = Curve(points, [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4])
    color = _LINE[node.standing]
    style = (0, (3, 2)) if node.standing == "gone" else "solid"
    axes.add_patch(
        PathPatch(curve, fill=False, edgecolor=color, linewidth=1.1, alpha=0.75, linestyle=style)
    )


def _box(axes: Axes, node: Node, x: float, y: float) -> None:
    gone = node.standing == "gone"
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            _WIDTH,
            _HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.09",
            facecolor=_FILL[node.standing],
            edgecolor=_LINE[node.standing],
            linewidth=1.6 if node.standing == "in use" else 1.0,
            linestyle=(0, (3, 2)) if gone else "solid",
        )
    )
    ink = _FAINT if gone else _INK
    axes.text(x + 0.12, y + 0.23, _fitting(node.label), fontsize=8.5, color=ink)
    axes.text(x + 0.12, y + 0.44, f"{node.detail}  {_day(node)}", fontsize=6.6, color=_FAINT)


def _heading(axes: Axes, graph: Graph, height: float) -> None:
    axes.text(_MARGIN, 0.5, graph.title, fontsize=13, color=_INK, weight="bold")
    for number, kind in enumerate(COLUMNS):
        text = kind.upper()
        if left_out := graph.left_out.get(kind):
            text += f"  (+ {left_out} older)"
        axes.text(_MARGIN + number * _COLUMN, 1.03, text, fontsize=7, color=_FAINT, weight="bold")
    for number, (standing, meaning) in enumerate(_MEANING.items()):
        x = _MARGIN + number * 1.35
        axes.add_patch(
            FancyBboxPatch(
                (x, height - 0.42),
                0.16,
                0.13,
                boxstyle="round,pad=0,rounding_size=0.03",
                facecolor=_FILL[standing],
                edgecolor=_LINE[standing],
                linewidth=1.0,
            )
        )
        axes.text(x + 0.24, height - 0.31, meaning, fontsize=7, color=_FAINT)


def _fitting(text: str, length: int = 26) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _day(node: Node) -> str:
    if node.gone_at is not None:
        verb = "erased" if node.kind == "contributor" else "destroyed"
        return f"{verb} {node.gone_at:%Y-%m-%d}"
    return f"{node.since:%Y-%m-%d}" if node.since else ""
