"""Where Prefect keeps the runs of a workspace, and which server it asks."""

import os
from pathlib import Path


def keep_prefect_inside(workspace: Path) -> None:
    """Let Prefect keep its runs in the workspace, unless the user points it elsewhere.

    The server that `sift up` runs for the workspace is used, with its key; without one, flows make
    no runs. Call before importing Prefect.
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


def prefect_home(workspace: Path) -> Path:
    """Where a workspace keeps Prefect's database."""
    return workspace.resolve() / ".sift" / "prefect"
