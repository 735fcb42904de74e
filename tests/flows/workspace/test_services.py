"""Where services answer: known while `sift up` has its lock, and to nobody afterwards."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.errors import FlowError
from flows.workspace.locks import WorkspaceBusyError, is_serving, only_one_serving
from flows.workspace.prefect_home import keep_prefect_inside
from flows.workspace.server_key import key_path, server_key
from flows.workspace.services import (
    Services,
    announced,
    mlflow_page,
    prefect_api,
    services,
    services_path,
)
from tests.support.paths import ROOT

BOTH = Services(prefect="http://127.0.0.1:4321", mlflow="http://127.0.0.1:4322")
KILLED = """
import os, signal, sys
from pathlib import Path
from flows.workspace.locks import only_one_serving
from flows.workspace.services import Services, announced
with only_one_serving(Path(sys.argv[1])), announced(Path(sys.argv[1]), Services(prefect="x")):
    print("up", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".sift").mkdir()
    return tmp_path


def test_addresses_are_known_while_the_lock_is_held_and_gone_with_it(root: Path) -> None:
    assert services(root) is None and not is_serving(root)
    with only_one_serving(root):
        assert services(root) is None, "it is starting"
        with announced(root, BOTH):
            assert services(root) == BOTH
    assert services(root) is None and not services_path(root).exists()


def test_what_a_killed_one_left_behind_misleads_nobody(root: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(root)]
    killed = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert killed.returncode < 0 and services_path(root).exists()
    assert services(root) is None and prefect_api(root) is None
    with only_one_serving(root), announced(root, BOTH):
        assert services(root) == BOTH


def test_a_second_one_is_told_that_one_runs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.workspace.locks._GLANCE_SECONDS", 0.0)
    with (
        only_one_serving(root),
        pytest.raises(WorkspaceBusyError, match="runs already"),
        only_one_serving(root),
    ):
        pass


def test_those_who_look_are_in_nobody_s_way(root: Path) -> None:
    with only_one_serving(root):
        pass
    for _ in range(3):
        assert not is_serving(root)
    with only_one_serving(root):
        assert is_serving(root) and is_serving(root)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"prefect": 3}', '{"sshd": "x"}'])
def test_a_damaged_list_is_an_error_that_says_what_to_do(root: Path, content: str) -> None:
    with only_one_serving(root):
        services_path(root).write_text(content)
        with pytest.raises(FlowError, match="not a list of services"):
            services(root)


def test_commands_use_the_server_that_runs_for_the_workspace(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_API_AUTH_STRING"):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    keep_prefect_inside(root)
    assert "PREFECT_API_URL" not in os.environ
    with only_one_serving(root), announced(root, BOTH):
        keep_prefect_inside(root)
    assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:4321/api"
    assert os.environ["PREFECT_HOME"] == str(root / ".sift" / "prefect")
    assert os.environ["PREFECT_API_AUTH_STRING"] == server_key(root)


def test_a_server_that_the_user_names_goes_first(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with only_one_serving(root), announced(root, BOTH):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert mlflow_page(root) == BOTH.mlflow
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
