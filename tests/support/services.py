"""The services of a workspace, brought up by the command as a user runs it."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.support.paths import ROOT

COMMAND = "import sys; from flows.cli import main; main()"
END_SECONDS = 180.0


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


@dataclass
class Up:
    """A `sift up` at work: its process and what it has printed, by service."""

    process: subprocess.Popen[str]
    shown: str

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        """What it printed as JSON, by the name of the service."""
        return {row["service"]: row for row in json.loads(self.shown)}

    def url(self, name: str) -> str:
        """The address of one of its pages."""
        return str(self.services[name]["url"])

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal and wait; the exit code and what it wrote to standard error.

        SIGINT goes to the whole group, as a terminal sends it.
        """
        if self.process.poll() is None:
            send = os.killpg if number == signal.SIGINT else os.kill
            send(self.process.pid, number)
        _, said = self.process.communicate(timeout=END_SECONDS)
        return self.process.returncode, said


@contextmanager
def up(root: Path, *arguments: str, json: bool = True, **more: str) -> Iterator[Up]:
    """Services on free ports, ended afterwards, whatever happened."""
    ports = ("--prefect-port", "0", "--mlflow-port", "0")
    command = ("up", *ports, *["--json"] * json, *arguments)
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *command],
        cwd=root,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        preexec_fn=heed_signals,
    )
    here = Up(process, "")
    try:
        here.shown = _printed(process, "]\n" if json else "Ctrl-C")
        yield here
    finally:
        here.end()


def heed_signals() -> None:
    """As at a terminal, also where these tests run in the background and heed none."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _printed(process: subprocess.Popen[str], last: str) -> str:
    """What a process prints before it goes on: all up to the line with these last words."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if last in line:
            return "".join(lines)
    raise AssertionError(process.communicate())


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
