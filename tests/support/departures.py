"""A finished opt-out, and what there was to be destroyed."""

from dataclasses import dataclass
from pathlib import Path

from flows.opt_out import OptOutResult
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from tests.support.traces import middle, tail
from tests.support.workspaces import CONTRIBUTORS, Snapshot, files, marker, reviews

LEAVER = CONTRIBUTORS[3]
HOSTILE_BASIS = "gdpr-art-17 <script>alert('x')</script> & \"so on\""


@dataclass(frozen=True)
class Departure:
    """A finished opt-out, and what the leaver's bytes had been."""

    snapshot: Snapshot
    result: OptOutResult
    needles: dict[str, bytes]
    found_before: dict[str, set[str]]
    prefect_store: Path


def belongings(workspace: Workspace, contributor: str) -> dict[str, bytes]:
    """Bytes by which everything of one contributor in the workspace can be known again."""
    _, vector, mask = files(workspace, contributor)
    state = workspace.state_file(current_state(workspace).state_sha256)
    weights = workspace.mlflow.reading.served_folder(1) / "model.safetensors"
    return {
        "id": contributor.encode(),
        "text": marker(contributor).encode(),
        "first row": reviews(contributor)[0]["text"].encode(),
        "vector": tail(vector.read_bytes()),
        "mask": tail(mask.read_bytes()),
        "old merge state": tail(state.read_bytes()),
        "old weights": middle(weights.read_bytes()),
    }
