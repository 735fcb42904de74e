"""A lineage graph as a picture: every node is in it, whatever it is called."""

import io
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from flows.evidence.lineage_picture import FORMATS, draw
from lineage.graph import COLUMNS, Graph, Node

HOSTILE = "$x^2$ <script>alert('x')</script> & $"


def graph(label: str) -> Graph:
    nodes = [
        Node(name=kind, kind=kind, label=label, detail=f"of {kind}", standing="kept")
        for kind in COLUMNS
    ]
    edges = tuple(pairwise(COLUMNS))
    left_out = {"model version": 7}
    return Graph(title="The way", nodes=tuple(nodes), edges=edges, left_out=left_out)


def picture(of: Graph, ending: str) -> bytes:
    file = io.BytesIO()
    draw(of, file, ending)
    return file.getvalue()


def test_an_svg_holds_each_text_as_text() -> None:
    root = ElementTree.fromstring(picture(graph("a node"), ".svg"))  # noqa: S314  our own
    texts = ["".join(each.itertext()).strip() for each in root.iter() if each.tag.endswith("}text")]
    assert texts.count("a node") == len(COLUMNS)
    assert {f"of {kind}" for kind in COLUMNS} <= {text.strip() for text in texts}
    assert "The way" in texts
    assert "MODEL VERSION  (+ 7 older)" in texts


def test_a_name_is_neither_markup_nor_mathematics() -> None:
    svg = picture(graph(HOSTILE), ".svg")
    assert b"<script" not in svg
    root = ElementTree.fromstring(svg)  # noqa: S314  our own
    assert HOSTILE[:20] in "".join(root.itertext())
    assert picture(graph(HOSTILE), ".png").startswith(b"\x89PNG")


@pytest.mark.parametrize("ending", FORMATS)
def test_the_same_graph_gives_the_same_bytes(ending: str) -> None:
    assert picture(graph("a node"), ending) == picture(graph("a node"), ending)


def test_a_taller_graph_gives_a_taller_picture() -> None:
    one = graph("a node")
    more = Node(name="more", kind="dataset", label="b", detail="", standing="gone")
    taller = one.model_copy(update={"nodes": (*one.nodes, more)})
    heights = [int.from_bytes(picture(each, ".png")[20:24], "big") for each in (one, taller)]
    assert heights[0] < heights[1]
