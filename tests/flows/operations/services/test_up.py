"""`sift up` for real: servers, deployments, runs, and nothing left behind however it ends."""

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from flows.workspace.server_key import key_path, server_key
from flows.workspace.services import services, services_path
from flows.workspace.workspace import Workspace
from tests.support.services import Up, answer, caller, sift, up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SECONDS = 180.0
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def processes_of(root: Path) -> list[psutil.Process]:
    """Every process that works in this workspace and is not dead yet."""
    found = []
    for process in psutil.process_iter():
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and Path(process.cwd()) == root and process.pid != os.getpid():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def none_left(root: Path) -> bool:
    """Whether all of them have ended, after a while."""
    until = time.monotonic() + 60
    while processes_of(root) and time.monotonic() < until:
        time.sleep(0.2)
    return processes_of(root) == [] and services(root) is None


def scheduled(client: httpx.Client) -> set[str]:
    """The deployments that have runs in the future, once the scheduler has been at work."""
    wanted = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    names = {row["id"]: row["name"] for row in client.post("/flows/filter", json={}).json()}
    until = time.monotonic() + SECONDS
    found: set[str] = set()
    while len(found) < 3 and time.monotonic() < until:
        runs = client.post("/flow_runs/filter", json=wanted).json()
        found = {names[run["flow_id"]] for run in runs}
        time.sleep(1)
    return found


def client_of(here: Up, root: Path) -> httpx.Client:
    return caller(here.url("prefect"), server_key(root))


def deployments(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in client.post("/deployments/filter", json={}).json()}


def start(client: httpx.Client, name: str) -> str:
    """The number of a new run of a deployment."""
    create = f"/deployments/{deployments(client)[name]['id']}/create_flow_run"
    return str(client.post(create, json={}).raise_for_status().json()["id"])


def in_state(client: httpx.Client, run: str, wanted: set[str]) -> dict[str, Any]:
    """A run, once it is in one of these states."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        found: dict[str, Any] = client.get(f"/flow_runs/{run}").json()
        if found["state_type"] in wanted:
            return found
        time.sleep(0.5)
    raise AssertionError(found["state"])


def test_what_is_up_answers_runs_and_is_known_to_commands_until_it_is_ended(
    fresh: Workspace,
) -> None:
    root = fresh.root
    with up(root) as here:
        assert {row["state"] for row in here.services.values()} == {"started"}
        key = server_key(root)
        client = client_of(here, root)
        assert set(deployments(client)) == {
            *("build", "opt-out", "process-requests", "audit", "deadlines")
        }
        version = f"{here.url('mlflow')}/version"
        assert httpx.get(version).status_code == 401
        assert httpx.get(version, auth=("anybody", key)).is_success
        assert scheduled(client) == {"process-requests", "audit", "deadlines"}
        assert here.url("mlflow") in answer(root, "status")["services"]
        run = in_state(client, start(client, "deadlines"), ENDED)
        assert run["state_type"] == "COMPLETED", run["state"]

        lines = [" ".join(one.cmdline()) for one in processes_of(root)]
        assert any("forkserver" in line for line in lines), "a run is a fork"

        second = sift(root, "up")
        assert second.returncode == 1 and "runs already" in second.stderr, second.stderr

        code, said = here.end(signal.SIGTERM)
    assert code == 0 and "Beginning flow run" in said, "what a run says is in its terminal"
    assert none_left(root) and not services_path(root).exists()
    assert answer(root, "status")["services"].startswith("none")


def test_a_workspace_elsewhere_is_served_from_any_folder(fresh: Workspace, tmp_path: Path) -> None:
    with up(tmp_path, "--workspace", str(fresh.root)) as here:
        client = client_of(here, fresh.root)
        run = in_state(client, start(client, "deadlines"), ENDED)
        assert run["state_type"] == "COMPLETED", run["state"]


@pytest.mark.parametrize(
    ("number", "state"), [(signal.SIGINT, "CANCELLED"), (signal.SIGKILL, "CRASHED")]
)
def test_a_run_ends_with_sift_up_and_can_be_tried_again(
    fresh: Workspace, number: signal.Signals, state: str
) -> None:
    root = fresh.root
    with up(root) as here:
        client = client_of(here, root)
        with fresh.lock():  # which the run waits for
            run = start(client, "process-requests")
            in_state(client, run, {"RUNNING"})
            code, _ = here.end(number)
        assert code == (0 if number == signal.SIGINT else -number)
    assert none_left(root)
    with up(root) as here:
        client = client_of(here, root)
        ended = client.get(f"/flow_runs/{run}").json()
        assert ended["state_type"] == state, ended["state"]
        again = {"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}}
        client.post(f"/flow_runs/{run}/set_state", json=again).raise_for_status()
        assert in_state(client, run, ENDED - {state})["state_type"] == "COMPLETED"


@pytest.mark.parametrize("name", ["prefect", "mlflow"])
def test_where_a_server_dies_all_of_it_ends_and_says_why(fresh: Workspace, name: str) -> None:
    root = fresh.root
    with up(root) as here:
        module = f"flows.integrations.{name}.server"
        (server,) = (one for one in processes_of(root) if module in one.cmdline())
        server.kill()
        _, said = here.process.communicate(timeout=SECONDS)
    assert here.process.returncode == 1 and f"{name.capitalize()} has ended" in said, said
    assert none_left(root)


def test_where_servers_run_already_they_are_used_and_left(fresh: Workspace, tmp_path: Path) -> None:
    with up(fresh.root) as first:
        key = server_key(fresh.root)
        api = f"{first.url('prefect')}/api"
        other = Workspace.create(tmp_path / "other", {})
        both = {"PREFECT_API_URL": api, "PREFECT_API_AUTH_STRING": key}
        refused = sift(other.root, "up", "--mlflow-port", "0", **both)
        assert refused.returncode == 2 and str(fresh.root) in refused.stderr, refused.stderr

        own = other.root / "prefect.yaml"
        own.write_text(own.read_text().replace("- name: ", "- name: other-"))
        with up(other.root, **both) as second:
            states = {name: row["state"] for name, row in second.services.items()}
            assert states == {"prefect": "found", "mlflow": "started", "runs": "started"}
            client = client_of(first, fresh.root)
            run = in_state(client, start(client, "other-deadlines"), ENDED)
            assert run["state_type"] == "COMPLETED", run["state"]
            assert run["name"].startswith(f"deadlines {other.settings.model.name}"), "the other's"
        assert httpx.get(f"{api}/health").is_success


def test_where_one_thing_fails_nothing_that_was_started_is_left(fresh: Workspace) -> None:
    root = fresh.root
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = sift(root, "up", "--prefect-port", "0", "--mlflow-port", str(port))
    assert done.returncode == 2 and f"Port {port}" in done.stderr, done.stderr
    assert none_left(root)

    dead = f"http://127.0.0.1:{port}/api"
    done = sift(root, "up", PREFECT_API_URL=dead)
    assert done.returncode == 1 and "PREFECT_API_URL" in done.stderr, done.stderr

    own = root / "prefect.yaml"
    right = own.read_text()
    own.write_text(right.replace("flows.audit.audit", "flows.audit.nothing"))
    done = sift(root, "up", "--prefect-port", "0", "--mlflow-port", "0")
    assert done.returncode == 2 and "'audit'" in done.stderr, done.stderr
    assert none_left(root)
    own.write_text(right)

    (root / ".sift" / "prefect").mkdir(exist_ok=True)
    (root / ".sift" / "prefect" / "prefect.db").write_text("no database, and long enough to be one")
    done = sift(root, "up", "--prefect-port", "0", "--mlflow-port", "0")
    assert done.returncode == 1 and "prefect.log" in done.stderr, done.stderr
    assert none_left(root)


def test_a_person_reads_where_the_key_and_the_pages_are(fresh: Workspace) -> None:
    with up(fresh.root, json=False) as here:
        shown = here.shown
        assert str(key_path(fresh.root)) in shown.replace("\n", "")
        assert "/deployments" in shown and "Ctrl-C" in shown
        here.end(signal.SIGINT)
