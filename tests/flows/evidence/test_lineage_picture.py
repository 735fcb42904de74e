"""A lineage graph as a picture: every node is in it, whatever it is called."""

import re
from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flows.evidence.lineage_picture import drawn
from lineage.graph import COLUMNS, Graph, Node

HOSTILE = "\"] --> x; <script>alert('x')</script> & $x^2$\n%% {{"
_NODE = re.compile(r'    n(\d+)\["([^"]*)"\]:::(in_use|kept|gone)')


def graph(label: str) -> Graph:
    nodes = [
        Node(name=kind, kind=kind, label=label, detail=f"of {kind}", state="kept")
        for kind in COLUMNS
    ]
    edges = tuple(pairwise(COLUMNS))
    left_out = {"model version": 7}
    return Graph(title="The way", nodes=tuple(nodes), edges=edges, left_out=left_out)


def shown(text: str) -> str:
    """What Mermaid shows of a label."""
    return re.sub(r"#(\d+);", lambda code: chr(int(code[1])), text)


def test_every_node_and_every_edge_is_in_it() -> None:
    text = drawn(graph("a node"))
    assert [int(number) for number, _, _ in _NODE.findall(text)] == list(range(len(COLUMNS)))
    assert text.count("a node") == len(COLUMNS)
    assert re.findall(r"  n(\d) --> n(\d)", text) == [
        (str(one), str(other)) for one, other in pairwise(range(len(COLUMNS)))
    ]
    assert 'title: "The way"' in text
    assert "model version (and 7 older)" in text


@given(
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40
    )
)
def test_a_label_shows_as_it_is_and_is_no_markup(label: str) -> None:
    text = drawn(graph(label))
    found = _NODE.findall(text)
    assert len(found) == len(COLUMNS)
    for _, own, _ in found:
        assert set(own.replace("<br>", "")) <= set(" .-#;") | {c for c in own if c.isalnum()}
        assert shown(own.split("<br>")[0]) == label


def test_a_hostile_name_stays_in_its_box() -> None:
    text = drawn(graph(HOSTILE))
    assert len(text.splitlines()) == len(drawn(graph("a node")).splitlines())
    assert "<script" not in text and "alert(" not in text
    (_, own, _), *_ = _NODE.findall(text)
    assert shown(own.split("<br>")[0]) == HOSTILE


def test_what_is_gone_is_told_with_its_day() -> None:
    day = datetime(2026, 3, 1, tzinfo=UTC)
    gone = Node(name="x", kind="contributor", label="a", detail="", state="gone", gone_at=day)
    text = drawn(Graph(title="t", nodes=(gone,), edges=(), left_out={}))
    assert '["a<br>erased 2026-03-01"]:::gone' in text


def test_the_same_graph_gives_the_same_text() -> None:
    assert drawn(graph("a node")) == drawn(graph("a node"))
