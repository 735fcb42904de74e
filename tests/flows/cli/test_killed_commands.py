"""A command that is killed leaves nothing running behind, and nothing outside of its workspace."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.integrations.prefect import server
from flows.workspace.workspace import Workspace
from tests.support.services import COMMAND, environment, heed_signals

SECONDS = 180.0
TELEMETRY = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "DVC_NO_ANALYTICS")


def launch(workspace: Workspace, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """A command in a group of its own, as at a terminal."""
    # The tests' own way to keep libraries quiet is not the command's.
    variables = {k: v for k, v in environment(**more).items() if k not in TELEMETRY}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments, "--json"],
        cwd=workspace.root,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        preexec_fn=heed_signals,
    )


def gone(process: psutil.Process) -> bool:
    """Whether a process ends within a while; the dead whom nobody has buried have ended."""
    _, alive = psutil.wait_procs([process], timeout=60)
    return not alive or process.status() == psutil.STATUS_ZOMBIE


WAYS = {
    "SIGTERM to it": (signal.SIGTERM, os.kill),
    "SIGKILL to it": (signal.SIGKILL, os.kill),
    "SIGKILL to its group": (signal.SIGKILL, os.killpg),
    "SIGHUP, the terminal is closed": (signal.SIGHUP, os.killpg),
    "Ctrl-C": (signal.SIGINT, os.killpg),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", WAYS)
def test_a_killed_build_leaves_no_process_and_can_be_run_again(fresh: Workspace, way: str) -> None:
    number, send = WAYS[way]
    command = launch(fresh, "build")
    children: set[psutil.Process] = set()
    until = time.monotonic() + SECONDS
    while not (fresh.root / "base.json").is_file() and time.monotonic() < until:
        assert command.poll() is None, command.communicate()
        children |= set(psutil.Process(command.pid).children(recursive=True))
        time.sleep(0.05)
    send(command.pid, number)
    command.communicate(timeout=SECONDS)
    assert command.returncode != 0
    assert all(gone(child) for child in children)
    again = launch(fresh, "build")
    _, errors = again.communicate(timeout=SECONDS)
    assert again.returncode == 0, errors


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_build_writes_nothing_outside_of_its_workspace(fresh: Workspace, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    told = {"HOME": str(home), "GIT_CONFIG_GLOBAL": os.devnull}
    told |= {f"XDG_{name}_HOME": str(home / name) for name in ("CONFIG", "CACHE", "DATA", "STATE")}
    command = launch(fresh, "build", **told)
    _, errors = command.communicate(timeout=SECONDS)
    assert command.returncode == 0, errors
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_a_server_ends_with_the_pipe_of_who_started_it(tmp_path: Path) -> None:
    """Without Prefect: what watches is ours."""
    script = (
        "import threading\n"
        "from flows.integrations.servers.listening import _end_with_parent\n"
        "threading.Thread(target=_end_with_parent, daemon=True).start()\n"
        "print('up', flush=True)\n"
        "threading.Event().wait(600)\n"
    )
    watched = subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watched.stdout is not None and watched.stdin is not None
    assert watched.stdout.readline() == "up\n"
    assert watched.poll() is None
    watched.stdin.close()
    assert watched.wait(60) == -signal.SIGTERM


def test_no_server_is_started_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.integrations.mlflow import server as mlflow_server

    monkeypatch.delenv(server.KEY, raising=False)
    monkeypatch.delenv(mlflow_server.KEY, raising=False)
    assert server.main(["--port", "0"]) == 2
    assert mlflow_server.main(["--port", "0", "--store", "sqlite://", "--artifacts", "x"]) == 2
