"""What was checked of a merge, and what was found: records that need no method to read."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict

from flows.errors import FlowError
from lineage import LineageError
from lineage.records import Level, Sha256
from sift_core import SiftCoreError


class ExactnessError(FlowError):
    """Two things that must be the same bits are not."""


class Check(BaseModel):
    """One check of exactness."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """Which check."""
    passed: bool
    """Whether it holds."""
    found: str
    """What was compared."""


class Verification(BaseModel):
    """How the new merge state was checked before anything was destroyed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state_seq: int
    """Number of the merge state."""
    state_sha256: Sha256
    """SHA-256 of its file."""
    members: int
    """How many contributors are in it."""
    level: Level
    """`derived`: made from the state before by exact steps on files with the recorded hashes, its
    digest computed again; `rebuilt`: also added up anew from vectors of its members alone."""
    checks: list[Check]
    """Each one made."""
    passed: bool
    """Whether every check passed."""

    def and_also(self, *checks: Check) -> "Verification":
        """The same with more checks."""
        every = [*self.checks, *checks]
        passed = all(check.passed for check in every)
        return self.model_copy(update={"checks": every, "passed": passed})

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self.model_dump(mode="json")

    def require(self) -> None:
        """Raise ExactnessError naming the first check that failed."""
        for check in self.checks:
            if not check.passed:
                raise ExactnessError(
                    f"Check {check.name!r} failed: {check.found}",
                    remedy="nothing was registered or destroyed; restore the altered file with "
                    "`dvc checkout` (a vector or mask of which DVC has no copy, with `sift build`) "
                    "and run this again.",
                )


def checked(name: str, look: Callable[[], str]) -> Check:
    """What was found; a check that cannot be made has failed.

    Anything but our own errors is a defect and goes up.
    """
    try:
        return Check(name=name, passed=True, found=look())
    except (FlowError, SiftCoreError, LineageError) as error:
        return Check(name=name, passed=False, found=error.facts)
