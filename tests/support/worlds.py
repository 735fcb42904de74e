"""Two worlds beside each other: one that somebody left, and one where they never were."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flows.evidence.verification import verify
from flows.integrations.mlflow.card import MEMBERS_FILE
from flows.workspace.workspace import Workspace
from sift_bytes import file_sha256
from tests.support.workspaces import Rows, add, build_plainly, merge_bytes, settings

Changes = dict[str, dict[str, Any]]


def world(
    root: Path,
    source: Path,
    rows: Iterable[Rows],
    changes: Changes | None = None,
    labels: tuple[str, ...] = (),
) -> Workspace:
    """A built workspace; `changes` are sections of params.yaml beside `settings`."""
    chosen = settings(source, labels)
    for section, values in (changes or {}).items():
        chosen.setdefault(section, {}).update(values)
    workspace = Workspace.create(root, chosen)
    for own in rows:
        add(workspace, own)
    build_plainly(root)
    return Workspace.open(root)


def version(workspace: Workspace) -> Path:
    """The folder of what the champion serves anyone."""
    champion = workspace.mlflow.reading.champion()
    assert champion is not None
    return workspace.mlflow.reading.served_folder(champion)


def digests(folder: Path) -> dict[str, str]:
    """{name of a file: its SHA-256}."""
    return {path.name: file_sha256(path) for path in folder.iterdir()}


def require_never_there(left: Workspace, never: Workspace) -> None:
    """An opt-out ended in what there is where the leaver never was."""
    assert merge_bytes(left) == merge_bytes(never)
    assert digests(version(left)) == digests(version(never))
    own, other = (version(each).parent / MEMBERS_FILE for each in (left, never))
    assert own.read_bytes() == other.read_bytes()
    verify(left).require()
