"""Every group measures end to end; how long things took is not a test's business."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from benchmarks.cost import adapters, core, limits, rebuilding, removing
from benchmarks.cost.bench import Bench
from benchmarks.cost.groups import GROUPS, measure
from benchmarks.cost.measuring import in_new_process, measured
from benchmarks.cost.stage import Stage, make_stage, trimmed
from benchmarks.cost.storage import shuffled
from benchmarks.figures import read_figures, write_figures
from sift_core import MergeState
from tests.support.paths import ROOT

SHAPES = {"a.weight": (7, 5), "b.bias": (3,)}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return make_stage(tmp_path / "stage", SHAPES, members=10, distinct=3)


# What orchestration and whole commands cost have tests of their own.
@pytest.mark.parametrize(
    "group", [name for name in GROUPS if name not in ("orchestration", "whole commands")]
)
def test_every_group_gives_figures_that_survive_writing(
    group: str, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (adapters, limits, removing):  # a new process spends seconds on importing torch
        monkeypatch.setattr(module, "in_new_process", lambda function, *args: function(*args))
    figures = GROUPS[group](bench)

    assert figures
    assert all(np.isfinite(figure.value) for figure in figures)
    write_figures(tmp_path / "latest.json", figures)
    assert read_figures(tmp_path / "latest.json") == figures
    for row in json.loads((tmp_path / "latest.json").read_text()):
        assert set(row) == {"figure", "value", "target", "met", "detail"}


def test_states_are_the_sums_of_the_members_files(stage: Stage) -> None:
    for count in (8, 10):
        vectors = [stage.read(member) for member in range(count)]
        rebuilt = MergeState.rebuild(vectors, SHAPES, vectors[0].grid, vectors[0].mask.sign_seed)
        assert stage.state_file(count).read_bytes() == rebuilt.to_bytes()


def test_the_measured_opt_out_gives_the_state_of_those_who_stay(stage: Stage) -> None:
    target = stage.fresh("target")

    removed = core.opt_out(stage, 0, 10, core.expected_digest(stage, 0, 10), target)

    assert core.rebuild(stage, range(1, 10), target) == removed


@pytest.mark.parametrize("name", ["TALL", "EMR"])
def test_granted_or_rebuilt_a_peer_writes_the_same_masks(stage: Stage, name: str) -> None:
    reader, target = rebuilding.Reader(stage), stage.fresh("target")
    masks = []
    for total in (None, reader.total(5, "whole")):
        rebuilding.PEERS[name](reader, 5, target, total)
        masks.append((target / "mask").read_bytes())

    assert masks[0] == masks[1]


def test_ties_merges_the_same_trimmed_while_reading_or_kept_trimmed(stage: Stage) -> None:
    reader, target = rebuilding.Reader(stage), stage.fresh("target")
    merged = []
    for total in (None, reader.total(5, "trimmed")):
        rebuilding.ties(reader, 5, target, total)
        merged.append(np.frombuffer((target / "merged").read_bytes(), np.float32))

    assert np.allclose(merged[0], merged[1], rtol=1e-5)


def test_a_peer_reads_the_vector_that_the_integers_are(stage: Stage) -> None:
    vector = stage.read(1)
    integers = np.concatenate([values.reshape(-1) for _, values in vector.integers()])

    dense = rebuilding.Reader(stage).one(1)

    assert np.array_equal(dense, (integers * vector.grid.scale()).astype(np.float32))


def test_trimming_keeps_the_largest_fifth(stage: Stage) -> None:
    vector = stage.read(0)

    kept = trimmed(vector, 0.2)

    assert kept.mask.nonzero >= round(0.2 * vector.mask.entries)
    smallest = min(float(values.min()) for values in kept.magnitudes.values() if values.size)
    larger = sum(int((values > smallest).sum()) for values in vector.magnitudes.values())
    assert larger < round(0.2 * vector.mask.entries)


def test_shuffled_bytes_are_all_bytes() -> None:
    assert shuffled(b"aAbBc") == b"abcAB"


def test_help_shows_an_example() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cost", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "Example: python -m benchmarks.cost --only" in done.stdout


def test_an_unknown_group_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="removing"):
        measure(tmp_path, ["speed"], quick=True)


def test_what_a_function_takes_is_told_from_what_was_held_before() -> None:
    held = bytes(50_000_000)

    size, usage = in_new_process(measured, len, held)

    assert size == len(held)
    assert usage.peak < len(held)
