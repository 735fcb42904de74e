"""A service's process: waited for, explained when it dies, and stopped with all that it started."""

import os
import socket
import time
from pathlib import Path

import psutil
import pytest

from flows.errors import UsageError
from flows.operations.services import processes
from flows.operations.services.processes import (
    ServiceError,
    free_port,
    ok,
    start,
    stop,
    sweep,
    wait_for,
)
from flows.workspace.services import Service

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def launch(tmp_path: Path, code: str) -> Service:
    (tmp_path / "service.py").write_text(code)
    return start(
        "worker",
        ["service"],
        folder=tmp_path,
        log=tmp_path / "logs" / "worker.log",
        variables=dict(os.environ) | {"PYTHONPATH": str(tmp_path)},
    )


def test_a_service_that_dies_says_its_last_words(tmp_path: Path) -> None:
    service = launch(tmp_path, "print('one'); print(); raise SystemExit('no such database')")
    with pytest.raises(ServiceError, match="no such database") as error:
        wait_for(service, lambda: False)
    assert str(service.log) in error.value.remedy


def test_a_service_that_never_answers_is_given_up(tmp_path: Path) -> None:
    service = launch(tmp_path, "import time; time.sleep(600)")
    with pytest.raises(ServiceError, match="did not answer within 0 seconds"):
        wait_for(service, lambda: False, seconds=0)
    assert stop(service)


def test_stopping_ends_what_does_not_listen_and_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.5)
    service = launch(tmp_path, STUBBORN)
    until = time.monotonic() + 60
    while not (said := service.log.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    child = psutil.Process(int(said))
    assert stop(service)
    assert service.process is None
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert not stop(service)


@pytest.mark.parametrize("reaped", [True, False])
def test_what_a_killed_service_left_behind_is_swept(tmp_path: Path, reaped: bool) -> None:
    service = launch(tmp_path, STUBBORN)
    until = time.monotonic() + 60
    while not (said := service.log.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    child, leader = psutil.Process(int(said)), service.process
    assert leader is not None
    sweep(service)
    assert leader.is_running() and child.is_running(), "it runs, so nothing of it is left behind"
    leader.kill()
    os.waitid(os.P_PID, leader.pid, os.WEXITED | (0 if reaped else os.WNOWAIT))
    sweep(service)
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_what_is_not_the_process_that_was_started_is_left_alone() -> None:
    mine = psutil.Process()
    other = Service(name="mlflow", pid=mine.pid, started=mine.create_time() - 60, log=Path("log"))
    assert not stop(other)  # or this test would not get here


def test_a_port_in_use_is_named_with_the_option_for_another() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"Port {port}") as error:
            free_port(port, "MLflow", "--mlflow-port")
        assert "--mlflow-port" in error.value.remedy
        assert not ok(f"http://127.0.0.1:{free_port(0, 'MLflow', '--mlflow-port')}")


def test_the_log_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    service = launch(tmp_path, "print('said')")
    psutil.wait_procs([each for each in [service.process] if each], timeout=30)
    assert service.log.stat().st_mode & 0o077 == 0
