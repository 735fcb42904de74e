"""Whole commands are measured as a user types them."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.cost import whole
from benchmarks.cost.bench import Bench
from benchmarks.cost.commands import python
from benchmarks.cost.population import Population
from tests.support.tiny import tiny_classifier


def test_what_a_process_takes_is_that_process_s_alone(tmp_path: Path) -> None:
    idle = python("pass", cwd=tmp_path)
    busy = python("sum(range(20_000_000)); bytearray(200_000_000)", cwd=tmp_path)
    assert busy.cpu > idle.cpu and busy.peak > idle.peak + 100_000_000


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        python("raise SystemExit(1)", cwd=tmp_path)


@pytest.mark.slow
def test_the_commands_of_a_small_population_give_every_figure(bench: Bench, tmp_path: Path) -> None:
    tiny = Population("tiny model", tiny_classifier(tmp_path / "tiny"), [2, 3])
    bench.populations = [tiny]
    figures = whole.figures(bench)
    assert len(figures) == 5 and all(figure.value > 0 for figure in figures)
    steps = figures[0].detail["T=3"]["steps"]
    assert {"opt_out.removed", "opt_out.evaluated", "opt_out.purged"} <= steps.keys()
