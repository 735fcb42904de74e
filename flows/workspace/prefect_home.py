"""Where Prefect keeps the runs of a workspace, and which server it asks."""

import os
from pathlib import Path


def keep_prefect_inside(workspace: Path) -> None:
    """Let Prefect keep its runs in the workspace, unless the user points it elsewhere.

    The server that `sift up` runs for the workspace is used; without one, a flow starts a temporary
    one on the loopback interface. Both keep the same database and ask for the workspace's key. Call
    before importing Prefect.
    """
    from flows.workspace.server_key import server_key
    from flows.workspace.services import prefect_api

    root = workspace.resolve()
    address = prefect_api(root)
    if os.environ.get("PREFECT_API_URL") not in (None, address):
        return
    os.environ.setdefault("PREFECT_HOME", str(prefect_home(root)))
    os.environ["PREFECT_API_AUTH_STRING"] = server_key(root)
    if address:
        os.environ["PREFECT_API_URL"] = address


def prefect_is_elsewhere() -> bool:
    """Whether a Prefect server runs that people look at, as said by PREFECT_API_URL."""
    return "PREFECT_API_URL" in os.environ


def prefect_home(workspace: Path) -> Path:
    """Where a workspace keeps Prefect's database."""
    return workspace.resolve() / ".sift" / "prefect"
