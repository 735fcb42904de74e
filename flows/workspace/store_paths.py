"""Where a workspace's stores say that its things lie: here, or what they name is another's.

Asked before anything is written or destroyed, since a folder that was copied or moved brings stores
that name what lies elsewhere, a link leads where it will, and a remote may be shared.
"""

from collections.abc import Iterator
from pathlib import Path

from flows.integrations.dvc.settings import remote_folder, require_own_settings
from flows.integrations.mlflow.relocation import first_elsewhere
from flows.integrations.ownership import MARK, ForeignPlaceError, elsewhere, require_mark

_TOP = (
    *("base", "data", "vectors", "masks", "merge", "reports", "plots", "mlruns", "remote"),
    *(".sift", ".dvc", ".git", "lineage.duckdb", "mlflow.db"),
)
_WITHIN = (".sift", ".dvc", ".dvc/cache", ".dvc/cache/files", ".git", "mlruns", "mlruns/models")


def require_own_places(root: Path, name: str, identity: str) -> None:
    """Raise ForeignPlaceError, or another UsageError, where a store of `root` leads elsewhere.

    `name` is the model's in MLflow, `identity` what marks a remote as ours. A remote that is no
    folder of this machine is asked when it is written to (`RemoteStore.require_own`).
    """
    for path in _links(root):
        raise ForeignPlaceError(
            f"{path} is a link out of the workspace, to {path.resolve()}: what is destroyed there "
            "may be another's.",
            remedy="put the folder itself in its place, or mount the disk there.",
        )
    require_own_settings(root)
    if remote := remote_folder(root):
        require_mark(_mark(remote), identity, str(remote))
    if found := first_elsewhere(root, name):
        raise elsewhere(found, str(root))


def own_mark(root: Path) -> str | None:
    """The mark of a remote that lies in the workspace, which nobody else can share."""
    remote = remote_folder(root)
    return _mark(remote) if remote and remote.is_relative_to(root) else None


def _mark(remote: Path) -> str | None:
    path = remote / MARK
    return path.read_text(encoding="ascii", errors="replace").strip() if path.is_file() else None


def _links(root: Path) -> Iterator[Path]:
    """Links of the workspace's own folders, and what lies directly in some, that lead out of it."""
    paths = [root / name for name in _TOP]
    for folder in _WITHIN:
        if (root / folder).is_dir():
            paths += sorted((root / folder).iterdir())
    for path in paths:
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            yield path
