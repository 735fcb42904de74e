"""A command that is killed leaves no temporary server behind, however it is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from flows.integrations.prefect import server
from flows.workspace.server_key import server_key
from flows.workspace.workspace import Workspace
from tests.support.services import COMMAND, caller, environment, heed_signals

SECONDS = 180.0
TELEMETRY = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "DVC_NO_ANALYTICS")


def servers_of(command: psutil.Process) -> list[psutil.Process]:
    """The Prefect servers that a command has started."""
    found = []
    for child in command.children(recursive=True):
        try:
            found += [child] * (server.__name__ in child.cmdline())
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def serving(command: subprocess.Popen[str]) -> tuple[psutil.Process, str]:
    """The temporary server of a command, once it answers, and its address."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        assert command.poll() is None, command.communicate()
        for one in servers_of(psutil.Process(command.pid)):
            words = one.cmdline()
            url = f"http://127.0.0.1:{words[words.index('--port') + 1]}"
            try:
                if httpx.get(f"{url}/api/health", timeout=10).is_success:
                    return one, url
            except httpx.TransportError:
                pass
        time.sleep(0.1)
    raise AssertionError("no server")


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
def test_a_killed_build_leaves_no_server(fresh: Workspace, way: str) -> None:
    number, send = WAYS[way]
    command = launch(fresh, "build")
    one, url = serving(command)
    assert httpx.get(url, headers={"Origin": "http://evil.example"}).status_code == 403
    assert httpx.get(f"{url}/api/flows/paginate").status_code == 401, "it asks for the key, too"
    assert caller(url, server_key(fresh.root)).post("/flows/filter", json={}).is_success
    send(command.pid, number)
    command.communicate(timeout=SECONDS)
    assert command.returncode != 0
    assert gone(one)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/api/health", timeout=10)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_build_killed_while_its_server_starts_leaves_none(fresh: Workspace) -> None:
    command = launch(fresh, "build")
    until = time.monotonic() + SECONDS
    while not (found := servers_of(psutil.Process(command.pid))) and time.monotonic() < until:
        time.sleep(0.01)
    command.kill()
    command.communicate(timeout=SECONDS)
    (one,) = found
    assert gone(one)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_build_that_ends_well_leaves_none_and_writes_nothing_outside_of_its_workspace(
    fresh: Workspace, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    told = {"HOME": str(home), "GIT_CONFIG_GLOBAL": os.devnull}
    told |= {f"XDG_{name}_HOME": str(home / name) for name in ("CONFIG", "CACHE", "DATA", "STATE")}
    command = launch(fresh, "build", **told)
    one, _ = serving(command)
    _, errors = command.communicate(timeout=SECONDS)
    assert command.returncode == 0, errors
    assert gone(one)
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
