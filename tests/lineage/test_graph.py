"""The graph of a contributor or a version has every step of the way and nothing else."""

import pytest

from lineage import LineageNotFoundError, Store
from lineage.graph import COLUMNS, Graph, contributor_graph, version_graph
from tests.support.population import key, record


def columns(graph: Graph) -> dict[str, list[str]]:
    return {kind: [node.label for node in graph.of(kind)] for kind in COLUMNS}


def served_from(graph: Graph, name: str) -> set[str]:
    """Labels of all model versions that can be reached from a node."""
    reached = set()
    for node in graph.after(name):
        reached |= {node.label} if node.kind == "model version" else served_from(graph, node.name)
    return reached


def test_a_contributors_way_leads_through_each_of_their_finetunings(
    populated: Store,
) -> None:
    with populated.reader() as reader:
        graph = contributor_graph(reader, key("bob"))
    assert [len(labels) for labels in columns(graph).values()] == [1, 2, 2, 2, 3, 3]
    old, new = graph.of("vector and mask")
    assert served_from(graph, old.name) == {"demo 1"}
    assert served_from(graph, new.name) == {"demo 2", "demo 3, served"}
    assert [node.state for node in graph.of("model version")] == ["gone", "gone", "in use"]
    assert (old.state, new.state) == ("kept", "in use")
    assert graph.left_out == {}


def test_of_who_was_erased_all_but_the_record_of_the_finetuning_is_gone(
    populated: Store,
) -> None:
    with populated.reader() as reader:
        graph = contributor_graph(reader, key("cyd"))
    assert {node.state for node in graph.nodes if node.kind != "finetuning"} == {"gone"}
    assert graph.of("contributor")[0].label == "name erased"
    assert "cyd" not in graph.model_dump_json()


def test_some_records_lead_to_what_was_made_from_them(populated: Store) -> None:
    with populated.reader() as reader:
        graph = contributor_graph(reader, key("bob"), [record("bob", "second")])
    assert [node.label for node in graph.of("model version")] == ["demo 2", "demo 3, served"]


def test_a_version_leads_back_to_each_member(populated: Store) -> None:
    with populated.reader() as reader:
        graph = version_graph(reader, "demo", 2)
        with pytest.raises(LineageNotFoundError):
            version_graph(reader, "demo", 9)
    assert sorted(columns(graph)["contributor"]) == ["ada", "bob", "dan", "name erased"]
    assert columns(graph)["model version"] == ["demo 2"]
    for member in graph.of("contributor"):
        assert served_from(graph, member.name) == {"demo 2"}


def test_what_is_beyond_the_limit_is_counted(populated: Store) -> None:
    with populated.reader() as reader:
        graph = contributor_graph(reader, key("ada"), limit=2)
    assert columns(graph)["model version"] == ["demo 2", "demo 3, served"]
    assert graph.left_out == {"merge state": 1, "model version": 1}
    names = {node.name for node in graph.nodes}
    assert all(names.issuperset(edge) for edge in graph.edges)
