"""The workspace recorded: by DVC, in its remote, and by a commit."""

import logging

from flows.integrations.dvc.settings import last_pushed_to, note_pushed_to
from flows.logging import event
from flows.workspace.workspace import Workspace

_IN_GIT = (
    "params.yaml",
    "dvc.yaml",
    "dvc.lock",
    "prefect.yaml",
    "base.json",
    "data.dvc",
    "metrics.json",
    "plots/quality.csv",
    ".dvc/config",
)


def commit(workspace: Workspace, message: str) -> str:
    """Record the workspace in DVC, push it to the remote, and commit its digests to git.

    The commit names the last entry of the audit log. Returns the commit; with nothing new, it is
    the last one.
    """
    _track(workspace)
    push(workspace)
    return _commit_digests(workspace, message)


def record(workspace: Workspace, message: str) -> str:
    """Do what `commit` does and leave the remote for `push`: it may be out of reach. The commit."""
    _track(workspace)
    return _commit_digests(workspace, message)


def push(workspace: Workspace) -> None:
    """Copy what the remote lacks to it.

    Raises DvcError where it cannot be reached, or where the same remote was pushed to before and is
    empty now: a disk that is not mounted must not pass for a remote that holds nothing. Raises
    ForeignPlaceError where the remote is another workspace's.
    """
    remote = workspace.dvc.remote.url()
    known = last_pushed_to(workspace.root) == remote
    if known:
        workspace.dvc.remote.require_filled()
    workspace.dvc.remote.require_own(workspace.identity)
    workspace.dvc.remote.push()
    if not known:
        note_pushed_to(workspace.root, remote)


def _track(workspace: Workspace) -> None:
    _mend(workspace)
    workspace.dvc.record.add("data")
    workspace.dvc.record.commit_stages()


def _mend(workspace: Workspace) -> None:
    """Put the record back as of the last commit where a killed process cut it off.

    What was new in it is recorded again by whoever calls this.
    """
    for name in workspace.dvc.record.mend():
        event("dvc.record_mended", level=logging.WARNING, found=f"{name} was cut off")
        if not workspace.git.restore(name):
            (workspace.root / name).unlink()


def _commit_digests(workspace: Workspace, message: str) -> str:
    workspace.git.add([name for name in _IN_GIT if (workspace.root / name).is_file()])
    return workspace.git.commit(with_anchor(workspace, message))


TRAILER = "Lineage-Audit"


def with_anchor(workspace: Workspace, message: str) -> str:
    """The commit message with the last entry of the audit log as its trailer."""
    with workspace.lineage.reader() as reader:
        head = reader.audit_head()
    return f"{message}\n\n{TRAILER}: {head.seq} {head.sha256}"
