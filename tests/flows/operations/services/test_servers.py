"""A server of `sift up`: waited for, explained when it dies, and gone with whoever started it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from flows.errors import UsageError
from flows.operations.services import servers
from flows.operations.services.servers import Server, ServiceError, free_port, ok, serving
from tests.support.paths import ROOT

URL = "http://127.0.0.1:9"
OBEDIENT = "import sys; print('up', flush=True); sys.stdin.read()"
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""
STARTER = """
import os, sys
from pathlib import Path
from flows.operations.services.servers import serving

folder = Path(sys.argv[1])
with serving("it", "", "", ["flows.integrations.prefect.server", "--port", "0"], folder=folder,
             log=folder / "it.log", variables=dict(os.environ)) as server:
    print(server.process.pid, flush=True)
    sys.stdin.read()
"""


@contextmanager
def launched(tmp_path: Path, code: str) -> Iterator[Server]:
    """A server that is this code."""
    (tmp_path / "service.py").write_text(code)
    variables = dict(os.environ) | {"PYTHONPATH": str(tmp_path)}
    log = tmp_path / "logs" / "service.log"
    with serving(
        "it", URL, "", ["service"], folder=tmp_path, log=log, variables=variables
    ) as server:
        yield server


def test_a_server_that_dies_says_its_last_words(tmp_path: Path) -> None:
    code = "print('one'); print(); raise SystemExit('no such database')"
    with launched(tmp_path, code) as server:
        with pytest.raises(ServiceError, match="no such database") as error:
            server.wait_until_it_answers()
        assert str(server.log) in error.value.remedy


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with (
        pytest.raises(ServiceError, match="did not answer within 0 seconds"),
        launched(tmp_path, OBEDIENT) as server,
    ):
        server.wait_until_it_answers(seconds=0)
    assert server.process.returncode == 0, "and it has ended"


def test_what_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "END_SECONDS", 0.5)
    with launched(tmp_path, STUBBORN) as server:
        until = time.monotonic() + 60
        while "up" not in server.log.read_text() and time.monotonic() < until:
            time.sleep(0.05)
        server.require_alive()
    assert server.process.returncode == -signal.SIGKILL


def test_a_real_server_ends_with_whoever_started_it_also_where_that_is_killed(
    tmp_path: Path,
) -> None:
    own = {"PYTHONPATH": str(ROOT), "PREFECT_SERVER_API_AUTH_STRING": "key"}
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        env=dict(os.environ) | own | {"PREFECT_HOME": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert starter.stdout is not None
    server = psutil.Process(int(starter.stdout.readline()))
    starter.kill()
    starter.communicate()
    _, alive = psutil.wait_procs([server], timeout=60)
    assert not alive or server.status() == psutil.STATUS_ZOMBIE


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
    with launched(tmp_path, "print('said')") as server:
        pass
    assert server.log.stat().st_mode & 0o077 == 0
    assert "said" in server.log.read_text()
