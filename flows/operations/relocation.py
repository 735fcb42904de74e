"""A workspace in another place: moved, it goes on there; copied, it becomes one of its own.

Both make its stores name what lies here. What says where it lives is written last, so that a killed
call is repeated and ends the same; and what lies at the old place is read, never written, except
that a copy says there that it exists.
"""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from flows.erasure.tombstones.copies import announce
from flows.erasure.tombstones.folders import FOLDER
from flows.errors import UsageError
from flows.integrations.dvc.settings import (
    last_pushed_to,
    note_pushed_to,
    remote_endpoint,
    remote_folder,
    remote_url,
)
from flows.integrations.mlflow.relocation import move_store
from flows.integrations.ownership import MARK
from flows.workspace.home import Home, Origin, new_id, read_home, still_lives, write_home
from flows.workspace.locks import only_one_changing
from flows.workspace.workspace import Workspace

_OF_THE_OTHER = (
    *(".sift/services.json", ".sift/services.lock", ".sift/server.key"),
    *(".sift/prefect", ".sift/logs"),
)
"""What a copied folder brings of processes that run for the workspace that was copied."""


def settle_move(root: Path, before: Path | None = None) -> Home:
    """Let the stores of a moved workspace know that it lies at `root` now; where it lives.

    `before` is where it was; None: where it says that it lived. Raises UsageError where it was not
    moved, or is a copy.
    """
    workspace = Workspace.displaced(root)
    with only_one_changing(workspace.root):
        home = _home(workspace)
        if still_lives(home) and not workspace.root.samefile(home.path):
            raise UsageError(
                f"{workspace.root} is a copy: the workspace {home.path} is still there.",
                remedy=f"make it one of its own with `sift workspace copied --workspace {root}`.",
            )
        _settle(workspace, _old_place(home, before))
        moved = home.model_copy(update={"path": str(workspace.root)})
        write_home(workspace.root, moved)
    return moved


def settle_copy(root: Path, before: Path | None = None) -> Home:
    """Make a copied folder a workspace of its own; where it lives, and what it is a copy of.

    `before` is as in `settle_move`. Contributors keep their keys. Its remote is a folder in it, as
    it came along or new: the next build pushes. Raises UsageError where it is no copy, or shares
    stores that a copy cannot have of its own.
    """
    workspace = Workspace.displaced(root)
    with only_one_changing(workspace.root):
        home = _home(workspace)
        old = _old_place(home, before)
        _require_copyable(workspace, old)
        _settle(workspace, old)
        for name in _OF_THE_OTHER:
            _delete(workspace.root / name)
        links = _links(home, old)
        origin = Origin(home_id=home.id, path=str(old), at=datetime.now(UTC), links=links)
        own = Home(id=new_id(), path=str(workspace.root), origin=origin)
        give_remote(workspace.root, own.id)
        announce(workspace, own)
        write_home(workspace.root, own)
    return own


def give_remote(root: Path, identity: str) -> None:
    """Make the remote of a copy its own: the folder that came along, else an empty one in it."""
    from flows.integrations.dvc.config import Remote, set_remote  # a second of imports

    folder = remote_folder(root)
    if folder is None or not folder.is_relative_to(root):
        folder = root / "remote"
        if folder.exists():
            raise UsageError(
                f"{folder} exists, and the remote that {root} names belongs to the workspace that "
                "was copied.",
                remedy=f"move {folder} away, then run this again.",
            )
        set_remote(root / ".dvc", Remote(str(folder)))
        note_pushed_to(root, None)
    elif (folder / MARK).is_file():
        (folder / MARK).write_text(f"{identity}\n", encoding="ascii")


def moved_remote(url: str, before: Path, root: Path) -> str:
    """Where a remote is that was written down in `before`: it moves with it if it lies in there."""
    if "://" in url:
        return url
    there = Path(os.path.normpath(before / ".dvc" / url))
    return str(root / there.relative_to(before)) if there.is_relative_to(before) else str(there)


def move_note_of_remote(root: Path, before: Path, after: Path) -> None:
    """Keep in mind that a remote inside the workspace was pushed to: it has moved along."""
    if (url := last_pushed_to(root)) is not None:
        where = Path(url)
        if where.is_relative_to(before):
            note_pushed_to(root, str(after / where.relative_to(before)))


def _home(workspace: Workspace) -> Home:
    """Where the workspace says that it lives; for one of before homes were written, here."""
    home = read_home(workspace.root)
    return home or Home(id=workspace.identity, path=str(workspace.root))


def _old_place(home: Home, before: Path | None) -> Path:
    return before.resolve() if before else Path(home.path)


def _settle(workspace: Workspace, before: Path) -> None:
    """Rewrite what names the old place."""
    root = workspace.root
    if before == root:
        raise UsageError(
            f"{root} lives where it lived before.",
            remedy="nothing is to be done; where a store says otherwise, name the old folder with "
            "--from.",
        )
    move_store(root, before, root)
    from flows.integrations.dvc.config import Remote, set_remote  # a second of imports

    url = moved_remote(remote_url(root), before, root)
    set_remote(root / ".dvc", Remote(url, remote_endpoint(root)))
    move_note_of_remote(root, before, root)


def _require_copyable(workspace: Workspace, old: Path) -> None:
    """Raise UsageError where a store is a server's that the copied workspace goes on using."""
    stores = workspace.settings.stores
    shared = [f"stores.{n}" for n in ("lineage", "mlflow", "remote") if getattr(stores, n)]
    if shared:
        raise UsageError(
            f"{workspace.root} keeps {' and '.join(shared)} where the workspace {old} does: two "
            "cannot, since an opt-out of one would destroy what the other has.",
            remedy="work in that one, or make a new workspace with `sift init` and the same rows; "
            "for stores.remote alone, set it to null in this folder's params.yaml and run this "
            "again.",
        )


def _links(home: Home, old: Path) -> tuple[str, ...]:
    """Where the copied workspace notes who leaves, if it is within reach."""
    there = read_home(old)
    if there is None or there.id != home.id:
        return ()
    folder = old / ".sift" / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    return (str(folder),)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
