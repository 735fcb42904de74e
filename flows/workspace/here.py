"""The workspace of a flow: named by who starts it, else by SIFT_WORKSPACE, else its folder.

It is no parameter of a flow: a deployment would let a request name any folder, and Prefect's store
would keep paths.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from flows.workspace.settings import PolicySettings
from flows.workspace.workspace import Workspace, is_workspace

PATIENCE_SECONDS = 24 * 3600.0
"""How long a run that nobody waits for lets others finish that are changing the workspace."""

WORKSPACE_VARIABLE = "SIFT_WORKSPACE"
"""Of the environment: the workspace of commands, runs and served models where nobody names one."""

_NAMED: ContextVar[Workspace | None] = ContextVar("workspace", default=None)


@contextmanager
def working_on(workspace: Workspace) -> Iterator[None]:
    """Let the flows that are started within work on this workspace."""
    token = _NAMED.set(workspace)
    try:
        yield
    finally:
        _NAMED.reset(token)


def here() -> Workspace:
    """The workspace of the flow that runs. Raises UsageError where its folder is none."""
    return _NAMED.get() or Workspace.open(folder_here(), patience=PATIENCE_SECONDS)


def folder_here() -> Path:
    """The folder that SIFT_WORKSPACE names, else this one."""
    return Path(os.environ.get(WORKSPACE_VARIABLE) or ".")


def policy_here() -> PolicySettings:
    """The policy of that workspace; outside of any, the one that a new workspace begins with.

    For the choices of a form: Prefect asks for them when a flow is imported, wherever that is.
    """
    named = _NAMED.get()
    if named is None and not is_workspace(folder_here()):
        return PolicySettings()
    return (named or Workspace.displaced(folder_here())).settings.policy
