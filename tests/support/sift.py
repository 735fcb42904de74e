"""The command line as a test types it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str
    """Without its signs of life: how many there are depends on the machine."""

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
_SIGN_OF_LIFE = re.compile(r"^[A-Z][a-z ]+( \d+ of \d+)?, \d+ s\n", re.MULTILINE)


def without_signs_of_life(err: str) -> str:
    """What a command wrote to standard error beside its progress."""
    return _SIGN_OF_LIFE.sub("", err)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")
