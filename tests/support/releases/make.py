"""Write a workspace with the code of today as an archive, once per release, before it is tagged:

    python -m tests.support.releases.make tests/support/releases/0.1.0.tar.xz

Three contributors, two builds (one with replaced rows), one opt-out that has ended and one request
that is open. `MOVED_FROM` is where it lay: MLflow knows absolute paths.
"""

import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.support import tiny
from tests.support.workspaces import (
    add,
    build_plainly,
    make_workspace,
    opt_out_plainly,
    request,
    reviews,
)

STAYERS, LEAVER = ("ann", "bob"), "tully"
MOVED_FROM = Path("/tmp/sift-release/films")  # noqa: S108  a fixed place, the same at every release


def make(archive: Path) -> None:
    """Build the workspace and pack it."""
    shutil.rmtree(MOVED_FROM.parent, ignore_errors=True)
    MOVED_FROM.parent.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        base = tiny.tiny_classifier(Path(folder) / "tiny")
        workspace = make_workspace(MOVED_FROM, base, [reviews(c) for c in (*STAYERS, LEAVER)])
        build_plainly(workspace.root)
    add(workspace, reviews(STAYERS[0], edition=1), replace=True)
    build_plainly(workspace.root)
    request(workspace, LEAVER)
    opt_out_plainly(workspace.root)
    request(workspace, STAYERS[1])
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        packed.add(workspace.root, arcname="films", filter=_needed)
    shutil.rmtree(MOVED_FROM.parent)


def _needed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """All but what is made again when it is missing."""
    made_again = ("films/.dvc/tmp", "films/.sift/tmp/", "films/.sift/prefect")
    return None if entry.name.startswith(made_again) else entry


if __name__ == "__main__":
    make(Path(sys.argv[1]))
