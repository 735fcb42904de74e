"""How the last build, opt-out and audit of a workspace ended: for those who watch it from outside.

One small file each in `.sift/lately/`. Nothing is decided by them; lineage knows what was done.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from flows.errors import FlowError
from flows.workspace.workspace import Workspace
from lineage.times import Utc

Job = Literal["build", "opt-out", "audit"]
JOBS: tuple[Job, ...] = ("build", "opt-out", "audit")


class Ran(BaseModel):
    """When a job ended, how long it took, and whether it passed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ended_at: Utc
    seconds: float
    passed: bool


@contextmanager
def noted(workspace: Workspace, job: Job) -> Iterator[None]:
    """Note how the work within ends; a killed one leaves what was noted before."""
    from sift_bytes import write_atomically  # torch, which looking does not need

    started = time.monotonic()
    passed = False
    try:
        yield
        passed = True
    finally:
        seconds = round(time.monotonic() - started, 3)
        ran = Ran(ended_at=datetime.now(UTC), seconds=seconds, passed=passed)
        path = _file(workspace, job)
        try:
            write_atomically(path, ran.model_dump_json().encode())
        except OSError:
            # On a full disk the work's own error is what counts; after good work this one is.
            if passed:
                raise


def last(workspace: Workspace, job: Job) -> Ran | None:
    """How the last one ended, None where there was none. Raises FlowError for a damaged file."""
    path = _file(workspace, job)
    if not path.is_file():
        return None
    try:
        return Ran.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise FlowError(
            f"{path} is damaged.", remedy=f"delete it: the next {job} writes it again."
        ) from error


def _file(workspace: Workspace, job: Job) -> Path:
    return workspace.root / ".sift" / "lately" / f"{job}.json"
