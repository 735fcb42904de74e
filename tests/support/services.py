"""The services of a workspace, brought up by the command as a user runs it."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.support.paths import ROOT

COMMAND = "import sys; from flows.cli import main; main()"


def environment(**more: str) -> dict[str, str]:
    """Ours without what points Prefect or MLflow anywhere."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_TRACKING"))}
    ours = (str(ROOT), os.environ.get("PYTHONPATH", ""))
    return own | {"PYTHONPATH": os.pathsep.join(filter(None, ours))} | more


def sift(root: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """One command in a workspace, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=root,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def answer(root: Path, *arguments: str, **more: str) -> Any:
    """What a command prints as JSON."""
    done = sift(root, *arguments, "--json", **more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def up(root: Path) -> Iterator[dict[str, Any]]:
    """Services on free ports, by name; brought down afterwards, whatever happened."""
    try:
        found = answer(root, "up", "--prefect-port", "0", "--mlflow-port", "0")
        yield {row["service"]: row for row in found}
    finally:
        sift(root, "down")


def caller(url: str, key: str) -> httpx.Client:
    """A client of a Prefect server's API that has its key, and a token of its own check."""
    credentials = base64.b64encode(key.encode()).decode()
    client = httpx.Client(
        base_url=f"{url}/api", headers={"Authorization": f"Basic {credentials}"}, timeout=60
    )
    own = str(uuid4())
    token = client.get("/csrf-token", params={"client": own}).raise_for_status().json()
    client.headers.update({"Prefect-Csrf-Token": token["token"], "Prefect-Csrf-Client": own})
    return client
