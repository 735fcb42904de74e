"""What workers gave back that did not count, with its reason: `.sift/quarantine/`.

    <contributor key>-<SHA-256, half>.bin     the bytes, as they came; never read again by us
    <contributor key>-<SHA-256, half>.json    what it was said to be, and why it does not count

Nobody can tell whose data a hostile worker has put into a file, so an opt-out of anybody destroys
the bytes of all; reasons hold none, and go with their own contributor.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import sift_bytes
from flows.hashing import artifact_name
from flows.training.workers.errors import QuarantinedError
from flows.workspace.workspace import Workspace

Part = Literal["manifest", "vector", "mask"]


@dataclass(frozen=True)
class Quarantined:
    """One file that did not count. `run` is Prefect's id of the worker's flow run."""

    contributor_key: str
    what: Part
    sha256: str
    bytes: int
    reason: str
    facts: str
    run: str
    at: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def quarantine(
    workspace: Workspace, key: str, files: Mapping[Part, Path], why: QuarantinedError, run: str
) -> list[Quarantined]:
    """Move a worker's files here, beside the reason; those that are there."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    rows = []
    for what, path in files.items():
        if not path.is_file():
            continue
        sha256 = sift_bytes.file_sha256(path)
        row = Quarantined(
            key, what, sha256, path.stat().st_size, type(why).__name__, why.facts, run, now
        )
        folder = workspace.quarantine
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(row.as_dict(), indent=2) + "\n"
        sift_bytes.write_atomically(folder / artifact_name(key, sha256, ".json"), text.encode())
        path.replace(folder / artifact_name(key, sha256, ".bin"))
        rows.append(row)
    return rows


def quarantined(workspace: Workspace) -> list[Quarantined]:
    """All that is in quarantine, or was until an opt-out, the oldest first."""
    rows = [
        Quarantined(**json.loads(path.read_text(encoding="utf-8")))
        for path in workspace.quarantine.glob("*.json")
    ]
    return sorted(rows, key=lambda row: (row.at, row.contributor_key, row.what))


def require_none(rows: Sequence[Quarantined]) -> None:
    """Raise QuarantinedError where anything is in quarantine."""
    if rows:
        raise QuarantinedError(
            f"In quarantine: {len(rows)}, the newest for {rows[-1].reason}.",
            remedy="see which workers wrote them; delete what is settled from .sift/quarantine.",
        )
