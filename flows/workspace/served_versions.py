"""When each server of a workspace took which version: what a report says of who was still served.

A server keeps a file of its own below `.sift/served`, a line for each version that it takes, and a
lock on it for as long as it runs. The operating system lets go of a lock when its process dies, so
a server that was killed is not taken for one that serves.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.errors import FlowError
from lineage.times import Utc


class Taken(BaseModel):
    """A server took a version: requests that it received from then on were answered by it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    server: str
    """Where it answers, `host:port`."""
    version: int = Field(ge=1)
    taken_at: Utc


class ServerRecord(BaseModel):
    """One server, running or not, and what it took, in order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    taken: list[Taken]
    runs: bool


def served_folder(root: Path) -> Path:
    """Where servers keep their files."""
    return root / ".sift" / "served"


@contextmanager
def taking(root: Path, server: str) -> Iterator[Callable[[int], None]]:
    """Note what one server takes while the block runs; what this gives notes a version, now."""
    folder = served_folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid4().hex}.jsonl"
    with path.open("xb", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def note(version: int) -> None:
            line = Taken(server=server, version=version, taken_at=datetime.now(UTC))
            file.write(line.model_dump_json().encode() + b"\n")
            os.fsync(file.fileno())

        yield note


def servers(root: Path) -> list[ServerRecord]:
    """All servers of a workspace that took a version, in the order in which they first did.

    Raises FlowError for a file that holds anything else.
    """
    found = [_read(path) for path in sorted(served_folder(root).glob("*.jsonl"))]
    began = [record for record in found if record.taken]
    return sorted(began, key=lambda record: record.taken[0].taken_at)


def _read(path: Path) -> ServerRecord:
    with path.open("rb") as file:
        *lines, _ = file.read().split(b"\n")  # a line that a killed server left half is none
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            runs = False
        except BlockingIOError:
            runs = True
    try:
        return ServerRecord(taken=[Taken.model_validate_json(line) for line in lines], runs=runs)
    except ValidationError as error:
        raise FlowError(
            f"{path} is not what a server noted.",
            remedy="restore it, or delete it: reports then say nothing of this server.",
        ) from error
