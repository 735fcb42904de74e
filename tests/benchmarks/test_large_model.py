"""What the benchmark of a large model tells is what the processes took."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer

from benchmarks.documents import marked
from benchmarks.large_model import RESULTS, Result, measure, require_bound, table
from benchmarks.memory import Peak, watched
from tests.support.paths import ROOT

DOCUMENT = ROOT / "docs/how-to/large-models.md"
SMALL = Result(10**9, 10**8, 10**8, [Peak("build", "merge", 3 * 10**9, 10**9, 1.0)])
REMOVED = Peak("opt-out", "removed", 14 * 10**8, 10**9, 2.0)


def test_a_peak_sees_what_was_there_only_for_a_while() -> None:
    quiet = watched("stage", "quiet", lambda: None)
    loud = watched("stage", "loud", lambda: np.ones(2**27, np.uint8).sum())
    assert loud.resident - quiet.resident > 0.9 * 2**27
    again = watched("stage", "quiet again", lambda: None)
    assert loud.resident - again.resident > 0.9 * 2**27  # each step begins anew


def test_the_bound_is_of_the_opt_out_alone() -> None:
    within = replace(SMALL, peaks=[*SMALL.peaks, REMOVED])
    assert within.bound == 14 * 10**8
    assert "peaks at 1,400 MB resident, within the bound" in table(within)
    require_bound(within.peaks, within.bound)
    beyond = replace(within, peaks=[*within.peaks, replace(REMOVED, resident=within.bound + 1)])
    assert "beyond the bound" in table(beyond)
    with pytest.raises(typer.Exit):
        require_bound(beyond.peaks, beyond.bound)


@pytest.mark.parametrize("path", [RESULTS] if RESULTS.is_file() else [], ids=str)
def test_the_docs_show_the_result_that_is_committed(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    result = Result(**{**content, "peaks": [Peak(**peak) for peak in content["peaks"]]})
    assert marked("large model", table(result)) in DOCUMENT.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_small_one_goes_through_all_stages_within_the_bound(tmp_path: Path) -> None:
    result = measure(tmp_path / "large", layers=2, hidden=256)
    assert {peak.stage for peak in result.peaks} == {"build", "opt-out"}
    require_bound(result.peaks, result.bound)
