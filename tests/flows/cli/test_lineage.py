"""`sift lineage`: an answer in every format, and the way of a contributor as tree and picture."""

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet
import pytest

from flows.workspace.workspace import Workspace
from tests.support.population import empty_store, key, populate
from tests.support.sift import Ended, Sift

QUERY = (
    "SELECT external_id, [external_id] AS names, CAST(18446744073709551615 AS UBIGINT) AS big,"
    " added_at, erased_at FROM contributors ORDER BY external_id"
)


@pytest.fixture(scope="module")
def _story(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    store = empty_store(tmp_path_factory.mktemp("story") / "lineage.duckdb")
    populate(store)
    return store.path.read_bytes()


@pytest.fixture
def story(fresh: Workspace, _story: bytes) -> Workspace:
    """A workspace whose lineage store tells the story of tests/support/population.py."""
    fresh.lineage.path.write_bytes(_story)
    return fresh


def ask(sift: Sift, workspace: Workspace, *arguments: str | Path) -> Ended:
    return sift("lineage", "sql", QUERY, *arguments, "--workspace", workspace.root)


def test_an_answer_is_a_table_json_or_csv_on_standard_output(fresh: Workspace, sift: Sift) -> None:
    assert "ann" in ask(sift, fresh).out
    rows = ask(sift, fresh, "--format", "json").json
    assert [row["names"] for row in rows] == [["ann"], ["bob"]]
    assert ask(sift, fresh, "--json").json == rows
    lines = list(csv.DictReader(io.StringIO(ask(sift, fresh, "--format", "csv").out)))
    assert [row["external_id"] for row in lines] == ["ann", "bob"]
    assert (lines[0]["names"], lines[0]["erased_at"]) == ('["ann"]', "")
    assert lines[0]["added_at"] == rows[0]["added_at"]


def test_an_answer_goes_into_a_file_as_its_ending_says(
    fresh: Workspace, sift: Sift, tmp_path: Path
) -> None:
    for ending in ("json", "csv", "parquet"):
        ended = ask(sift, fresh, "--output", tmp_path / f"answer.{ending}")
        assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert json.loads((tmp_path / "answer.json").read_bytes())[1]["external_id"] == "bob"
    assert (tmp_path / "answer.csv").read_text() == ask(sift, fresh, "--format", "csv").out
    table = pyarrow.parquet.read_table(tmp_path / "answer.parquet")
    assert table.column("big").to_pylist() == [2**64 - 1] * 2
    assert str(table.schema.field("added_at").type) == "timestamp[us]"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--format", "parquet"], "Parquet is not for a terminal"),
        (["--output", "answer.xlsx"], "no ending that says"),
        (["--output", "there.csv"], "is there already"),
        (["--output", "missing/answer.csv"], "There is no folder"),
        (["--json", "--format", "csv"], "contradict"),
    ],
)
def test_a_format_that_cannot_be_is_refused(
    fresh: Workspace, sift: Sift, monkeypatch: pytest.MonkeyPatch, arguments: list[str], reason: str
) -> None:
    monkeypatch.chdir(fresh.root.parent)
    Path("there.csv").write_text("mine")
    ask(sift, fresh, *arguments).refused(2, reason)
    assert Path("there.csv").read_text() == "mine"


@pytest.mark.parametrize("ending", ["json", "parquet"])
def test_a_refused_question_leaves_no_file(
    fresh: Workspace, sift: Sift, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"answer.{ending}"
    for query in ("DROP TABLE contributor", "SELECT 1 AS a, 2 AS a"):
        ended = sift("lineage", "sql", query, "--output", path, "--workspace", fresh.root)
        assert ended.code == 2
        assert not path.exists()


def test_a_graph_is_a_tree_a_picture_or_json(story: Workspace, sift: Sift, tmp_path: Path) -> None:
    workspace = ("--workspace", story.root)
    tree = sift("lineage", "graph", key("bob"), *workspace).out
    assert tree.count("finetuning") == 2
    assert "demo 3, served" in tree
    assert tree.count("destroyed 2026-01-20") == 4
    path = tmp_path / "graph.mmd"
    assert sift("lineage", "graph", "demo/3", "--output", path, *workspace).code == 0
    assert "\nflowchart LR\n" in path.read_text() and "demo/3" not in path.read_text()
    assert "demo 3" in path.read_text()
    found = sift("lineage", "graph", "opt-out-0001", "--json", *workspace).json
    assert "opt-out-0001" in found["title"]
    assert {node["kind"] for node in found["nodes"]} >= {"contributor", "model version"}


@pytest.mark.parametrize(
    ("what", "more", "reason"),
    [
        ("nobody", [], "no contributor"),
        ("demo/9", [], "no version 9"),
        ("demo/x", [], "is no version"),
        (key("bob"), ["--output", "graph.pdf"], "does not end in .mmd"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    story: Workspace, sift: Sift, what: str, more: list[str], reason: str
) -> None:
    sift("lineage", "graph", what, *more, "--workspace", story.root).refused(2, reason)
