"""The formulas of the sizes hold against real files, those of times against other measurements."""

from itertools import pairwise
from math import prod
from pathlib import Path

import pytest

from benchmarks import sizing
from benchmarks.documents import marked
from benchmarks.figures import read_figures
from flows.workspace.workspace import Workspace
from sift_core.file_header import shapes_of
from tests.support.workspaces import finetune_and_merge, make_workspace, reviews

RATES = sizing.Rates.measured()
MINILM = sizing.MODELS[0]


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path) -> Workspace:
    root = tmp_path_factory.mktemp("sized") / "workspace"
    workspace = make_workspace(root, tiny_classifier, [reviews("ann"), reviews("bob")])
    finetune_and_merge(workspace)
    return workspace


def head(path: Path) -> int:
    """Bytes before the first tensor of a safetensors file."""
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


def test_the_files_of_a_merge_are_as_large_as_the_formulas_say(merged: Workspace) -> None:
    (state,) = merged.merge.iterdir()
    shapes = shapes_of(state.read_bytes()[: head(state)], state)
    entries = sum(map(prod, shapes.values()))
    # Each piece is filled up to 8 bytes.
    over = state.stat().st_size - head(state) - sizing.state_bytes(entries, 2)
    assert 0 <= over < 8 * len(shapes)
    with merged.lineage.reader() as reader:
        rows = reader.all_task_vectors()
    assert len(rows) == 2
    for row in rows:
        vector = merged.vector_file(row.contributor_key, row.vector_sha256)
        assert row.entries == entries
        assert vector.stat().st_size - head(vector) == sizing.vector_bytes(row.nonzero)
        mask = merged.mask_file(row.contributor_key, row.mask_sha256)
        # Each parameter is filled up to a byte.
        over = mask.stat().st_size - head(mask) - sizing.mask_bytes(entries)
        assert 0 <= over < len(shapes)


def test_sizes_of_a_real_model_are_within_a_hundredth_of_what_was_measured() -> None:
    detail = {figure.figure: figure.detail for figure in read_figures(sizing.RESULTS)}
    vectors = detail["Vector: bits per entry that moved"]
    for size, density in zip(vectors["bytes"], vectors["densities"], strict=True):
        assert sizing.vector_bytes(density * MINILM.entries) == pytest.approx(size, rel=0.01)
    for size in detail["Mask: bits per trainable parameter"]["bytes"]:
        assert sizing.mask_bytes(MINILM.entries) == pytest.approx(size, rel=0.02)


def test_times_agree_with_measurements_they_were_not_taken_from() -> None:
    detail = {figure.figure: figure.detail for figure in read_figures(sizing.RESULTS)}
    rebuilt = detail["Rebuild of 16: bytes per second, by plain read and write of the same bytes"]
    assert sizing.size(MINILM, 16, RATES).rebuild == pytest.approx(
        rebuilt["ours"]["seconds"], rel=0.2
    )
    removed = detail["Opt-out: bytes per second, by plain read and write of the same bytes"]
    assert sizing.size(MINILM, 500, RATES).opt_out == pytest.approx(
        removed["ours"]["seconds"], rel=0.2
    )


def test_an_opt_out_costs_the_same_whatever_the_number_of_contributors() -> None:
    for model in sizing.MODELS:
        sizes = [sizing.size(model, count, RATES) for count in sizing.CONTRIBUTORS]
        assert len({(one.opt_out, one.served) for one in sizes}) == 1
        assert [one.state / sizes[0].state for one in sizes] == [1.0, 1.2, 1.2, 1.6]
        for fewer, more in pairwise(sizes):
            assert more.vectors == pytest.approx(10 * fewer.vectors)
            assert fewer.rebuild < more.rebuild < 10 * fewer.rebuild


def test_a_simulated_year_has_as_many_leavers_as_leave_and_runs_at_most_once_a_day() -> None:
    for count in (10_000, 100_000):
        found = sizing.year(MINILM, count, RATES)
        assert found.leavers == pytest.approx(count * sizing.LEAVE_A_YEAR, rel=0.3)
        assert found.runs <= min(365, found.leavers)
        one = sizing.size(MINILM, 1, RATES)
        assert found.freed == pytest.approx(found.leavers * (one.vectors + one.masks), rel=0.05)
    assert sizing.year(MINILM, 100, RATES, seed=1) == sizing.year(MINILM, 100, RATES, seed=1)


def test_the_docs_show_the_tables_as_they_are_computed() -> None:
    document = sizing.DOCUMENT.read_text(encoding="utf-8")
    for name, text in sizing._sections(RATES):
        assert marked(name, text) in document


@pytest.mark.slow
def test_the_lineage_of_many_is_as_large_as_the_formula_says() -> None:
    measured = {figure.figure: figure.value for figure in sizing.record(2_000, 3)}
    (real,) = (value for name, value in measured.items() if name.startswith("megabytes of the"))
    assert measured["megabytes by the formula"] == pytest.approx(real, rel=0.3)
