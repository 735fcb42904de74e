"""A lineage graph as a picture, in Mermaid: text that GitHub, MkDocs, editors and wikis draw.

From left to right, one box a kind; what is in use is green, what was destroyed is grey and dashed.
"""

from collections.abc import Iterator
from pathlib import Path

from flows.errors import UsageError
from lineage.graph import COLUMNS, Graph, Node

ENDING = ".mmd"
_STYLES = {
    "in use": "fill:#e3f4ea,stroke:#2f8f5b,color:#1d2733",
    "kept": "fill:#eaf1fb,stroke:#5b84c4,color:#1d2733",
    "gone": "fill:#f1f2f4,stroke:#b3bac3,color:#5d6874,stroke-dasharray:4 3",
}


def drawn(graph: Graph) -> str:
    """The picture's text; the same graph gives the same. No label is markup, whatever it says."""
    return "\n".join(_lines(graph)) + "\n"


def require_drawable(path: Path) -> None:
    """Raise UsageError for a file that does not end in .mmd."""
    if path.suffix.lower() != ENDING:
        raise UsageError(
            f"{path} does not end in {ENDING}.",
            remedy=f"name a {ENDING} file: Mermaid, which GitHub, MkDocs and most editors draw.",
        )


def _lines(graph: Graph) -> Iterator[str]:
    names = {node.name: f"n{number}" for number, node in enumerate(graph.nodes)}
    yield "---"
    yield f'title: "{_plain(graph.title)}"'
    yield "---"
    yield "flowchart LR"
    columns = [(f"k{number}", kind) for number, kind in enumerate(COLUMNS) if graph.of(kind)]
    for column, kind in columns:
        left_out = graph.left_out.get(kind)
        yield f'  subgraph {column}["{kind}{f" (and {left_out} older)" if left_out else ""}"]'
        for node in graph.of(kind):
            yield f'    {names[node.name]}["{_label(node)}"]:::{_class(node.state)}'
        yield "  end"
    for source, target in graph.edges:
        yield f"  {names[source]} --> {names[target]}"
    for state, style in _STYLES.items():
        yield f"  classDef {_class(state)} {style}"
    for column, _ in columns:
        yield f"  style {column} fill:none,stroke:#d5dae1"


def _label(node: Node) -> str:
    return "<br>".join(_plain(text) for text in (node.label, node.detail, _day(node)) if text)


def _class(state: str) -> str:
    return state.replace(" ", "_")


def _plain(text: str) -> str:
    """A text that Mermaid draws as it is: all but letters, digits, spaces and dots as codes."""
    return "".join(c if c.isalnum() or c in " .-" else f"#{ord(c)};" for c in text)


def _day(node: Node) -> str:
    if node.gone_at is not None:
        verb = "erased" if node.kind == "contributor" else "destroyed"
        return f"{verb} {node.gone_at:%Y-%m-%d}"
    return f"{node.since:%Y-%m-%d}" if node.since else ""
