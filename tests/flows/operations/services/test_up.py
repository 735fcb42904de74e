"""`sift up` and `sift down` for real: servers, a worker, deployments, and nothing left behind."""

import os
import signal
import socket
import time
from pathlib import Path

import httpx
import psutil
import pytest

from flows.workspace.server_key import key_path, server_key
from flows.workspace.services import recorded, running
from flows.workspace.workspace import Workspace
from tests.support.services import answer, caller, sift, up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def processes_of(root: Path) -> list[psutil.Process]:
    """Every process that works in this workspace."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == root and process.pid != os.getpid():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def scheduled(client: httpx.Client) -> set[str]:
    """The deployments that have runs in the future, once the scheduler has been at work."""
    wanted = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    names = {row["id"]: row["name"] for row in client.post("/flows/filter", json={}).json()}
    until = time.monotonic() + 180
    found: set[str] = set()
    while len(found) < 3 and time.monotonic() < until:
        runs = client.post("/flow_runs/filter", json=wanted).json()
        found = {names[run["flow_id"]] for run in runs}
        time.sleep(1)
    return found


def test_what_is_up_is_found_again_and_what_is_down_is_gone(fresh: Workspace) -> None:
    root = fresh.root
    with up(root) as first:
        assert {row["standing"] for row in first.values()} == {"started"}
        api = f"{first['prefect']['url']}/api"
        key = server_key(root)
        client = caller(first["prefect"]["url"], key)
        names = {row["name"] for row in client.post("/deployments/filter", json={}).json()}
        assert names == {"build", "opt-out", "process-requests", "audit", "deadlines"}
        version = f"{first['mlflow']['url']}/version"
        assert httpx.get(version).status_code == 401
        assert httpx.get(version, auth=("anybody", key)).is_success
        assert scheduled(client) == {"process-requests", "audit", "deadlines"}
        assert str(first["mlflow"]["url"]) in answer(root, "status")["services"]
        pids = [service.pid for service in running(root)]

        again = {row["service"]: row for row in answer(root, "up")}
        assert {row["standing"] for row in again.values()} == {"running"}
        assert [service.pid for service in running(root)] == pids

        mlflow = next(service for service in running(root) if service.name == "mlflow")
        os.kill(mlflow.pid, signal.SIGKILL)
        mended = {row["service"]: row for row in answer(root, "up", "--mlflow-port", "0")}
        standing = {name: row["standing"] for name, row in mended.items()}
        assert standing == {"prefect": "running", "mlflow": "started", "worker": "running"}

        assert str(key_path(root)) in sift(root, "up").stdout.replace("\n", "")
        elsewhere = answer(root, "up", PREFECT_API_URL=api, PREFECT_API_AUTH_STRING=key)
        assert [row["standing"] for row in elsewhere] == ["found", "running", "running"]

        assert answer(root, "down")["stopped"] == ["worker", "mlflow", "prefect"]
    assert processes_of(root) == [] and recorded(root) == ()
    assert answer(root, "down")["stopped"] == []
    assert answer(root, "status")["services"].startswith("none")


def test_where_one_thing_fails_nothing_that_was_started_is_left(fresh: Workspace) -> None:
    root = fresh.root
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = sift(root, "up", "--prefect-port", "0", "--mlflow-port", str(port))
    assert done.returncode == 2 and f"Port {port}" in done.stderr, done.stderr
    assert processes_of(root) == [] and recorded(root) == ()

    dead = f"http://127.0.0.1:{port}/api"
    done = sift(root, "up", PREFECT_API_URL=dead)
    assert done.returncode == 1 and "PREFECT_API_URL" in done.stderr, done.stderr

    (root / ".sift" / "prefect").mkdir(exist_ok=True)
    (root / ".sift" / "prefect" / "prefect.db").write_text("no database, and long enough to be one")
    done = sift(root, "up", "--prefect-port", "0", "--mlflow-port", "0")
    assert done.returncode == 1 and "prefect.log" in done.stderr, done.stderr
    assert processes_of(root) == [] and recorded(root) == ()
