"""What runs for a workspace: known by number and start, never by number alone."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from flows.errors import FlowError
from flows.workspace.prefect_home import keep_prefect_inside
from flows.workspace.server_key import key_path, server_key
from flows.workspace.services import (
    Service,
    mlflow_page,
    prefect_api,
    recorded,
    running,
    write_down,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".sift").mkdir()
    return tmp_path


def service(name: str = "prefect", *, pid: int | None = None, later: float = 0.0) -> Service:
    """This very process as a service, or as it would be written down had it started later."""
    return Service.model_validate(
        {
            "name": name,
            "pid": os.getpid() if pid is None else pid,
            "started": psutil.Process().create_time() + later,
            "url": None if name == "worker" else "http://127.0.0.1:4321",
            "log": Path("log"),
        }
    )


def test_a_service_is_read_back_as_it_was_written_down(root: Path) -> None:
    both = (service(), service("worker"))
    write_down(root, both)
    assert recorded(root) == both == running(root)
    write_down(root, ())
    assert recorded(root) == () and list((root / ".sift").iterdir()) == []


def test_a_number_that_is_another_process_s_by_now_is_no_service(root: Path) -> None:
    write_down(root, (service(later=60.0),))
    assert recorded(root) != () and running(root) == ()
    assert prefect_api(root) is None


def test_a_process_that_has_ended_is_no_service_even_before_anybody_took_note(root: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = psutil.Process(child.pid).create_time()
    write_down(root, (service(pid=child.pid).model_copy(update={"started": started}),))
    assert running(root) != ()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table
    assert running(root) == ()
    child.communicate()


@pytest.mark.parametrize("content", ["", "{", '[{"name": "prefect"}]', '[{"name": "sshd"}]'])
def test_a_damaged_list_is_an_error_that_says_what_to_do(root: Path, content: str) -> None:
    (root / ".sift" / "services.json").write_text(content)
    with pytest.raises(FlowError, match="not a list of services"):
        recorded(root)


def test_commands_use_the_server_that_runs_for_the_workspace(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_API_AUTH_STRING"):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    keep_prefect_inside(root)
    assert "PREFECT_API_URL" not in os.environ
    write_down(root, (service(),))
    keep_prefect_inside(root)
    assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:4321/api"
    assert os.environ["PREFECT_HOME"] == str(root / ".sift" / "prefect")
    assert os.environ["PREFECT_API_AUTH_STRING"] == server_key(root)


def test_a_server_that_the_user_names_goes_first(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_down(root, (service(), service("mlflow")))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert mlflow_page(root) == "http://127.0.0.1:4321"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://models.example/")
    assert mlflow_page(root) == "https://models.example"
    monkeypatch.setenv("PREFECT_API_URL", "https://flows.example/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "theirs")
    keep_prefect_inside(root)
    assert os.environ["PREFECT_API_AUTH_STRING"] == "theirs", "ours is told to nobody else"
    assert os.environ["PREFECT_API_URL"] == "https://flows.example/api"


def test_a_workspace_s_key_is_drawn_once_and_is_its_owner_s_alone(root: Path) -> None:
    assert server_key(root) == server_key(root) and len(server_key(root)) == 64
    assert key_path(root).stat().st_mode & 0o777 == 0o600
    (root / "other").mkdir()
    assert server_key(root / "other") != server_key(root)


@pytest.mark.parametrize("content", ["", "abc", "g" * 64, "0" * 63, "0" * 65])
def test_a_key_that_is_none_is_an_error_that_says_what_to_do(root: Path, content: str) -> None:
    key_path(root).write_text(content)
    with pytest.raises(FlowError, match="is not a key"):
        server_key(root)
