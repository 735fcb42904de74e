"""`sift down` ends everything that was started, whatever becomes of the rest."""

import os
import time
from pathlib import Path

import pytest

from flows.operations.services import up
from flows.operations.services.processes import ServiceError, start
from flows.operations.services.registration import Api
from flows.workspace.services import Service, ServiceName, recorded, write_down
from flows.workspace.workspace import Workspace

AT_WORK = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("at work", flush=True)
time.sleep(600)
"""


def launch(root: Path, name: ServiceName, **about: str) -> Service:
    """A process that stands for a service, with a child as a worker has one per run."""
    (root / ".sift" / "tmp" / "service.py").write_text(AT_WORK)
    variables = dict(os.environ) | {"PYTHONPATH": str(root / ".sift" / "tmp")}
    log = root / ".sift" / "logs" / f"{name}.log"
    service = start(name, ["service"], folder=root, log=log, variables=variables)
    until = time.monotonic() + 60
    while not log.read_text() and time.monotonic() < until:
        time.sleep(0.05)
    return service.model_copy(update=about)


def test_all_ends_also_where_the_server_cannot_be_told_of_the_runs(
    fresh: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://127.0.0.1:9"
    services = (
        launch(fresh.root, "prefect", url=url),
        launch(fresh.root, "worker", api=f"{url}/api", pool="sift"),
        launch(fresh.root, "mlflow"),
    )
    write_down(fresh.root, services)

    def told(api: Api, pool: str) -> None:
        assert (api.address, pool) == (f"{url}/api", "sift") and api.key
        running = [service.name for service in services if service.process is not None]
        assert running == ["prefect", "mlflow"], "the worker first, and the server is still there"
        raise ServiceError("It hangs.", remedy="wait.")

    monkeypatch.setattr(up, "mark_crashed", told)
    with pytest.raises(ServiceError, match="It hangs"):
        up.down(fresh)
    assert [service.process for service in services] == [None] * 3
    assert recorded(fresh.root) == ()
    assert up.down(fresh) == []
