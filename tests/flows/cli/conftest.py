"""Running the command line in this process, as `sift` does."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.cli import run


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON and nothing else."""
        return json.loads(self.out, parse_constant=_no_constant)

    def refused(self, code: int, *phrases: str) -> None:
        """Check that it ended in one line on standard error with these phrases in it."""
        assert (self.code, self.out) == (code, "")
        self.complained(*phrases)

    def complained(self, *phrases: str) -> None:
        """Check for one line on standard error that names facts and remedy."""
        line = self.err.removesuffix("\n")
        assert line.startswith("Error: ") and line.isprintable(), line
        assert line.endswith("."), "whole sentences"
        for phrase in phrases:
            assert phrase in line, line


Sift = Callable[..., Ended]


@pytest.fixture
def sift(capsys: pytest.CaptureFixture[str]) -> Sift:
    """Run one command: `sift("status", "--json")`."""

    def command(*arguments: str | Path) -> Ended:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Ended(code, printed.out, printed.err)

    return command


@pytest.fixture(autouse=True)
def _prefect_home_of_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # `sift build` points Prefect into the workspace by a variable, which must not outlive the test.
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")
