"""`sift serve` for real: a process that answers under load while somebody leaves, and that ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.serving.app import VERSION_HEADER
from flows.workspace.served_versions import servers
from flows.workspace.server_key import server_key
from flows.workspace.workspace import Workspace
from tests.support.pages import blocks
from tests.support.paths import ROOT
from tests.support.services import COMMAND, environment, heed_signals
from tests.support.workspaces import build_plainly, opt_out_plainly, request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ANN, BOB = "ann", "bob"
TEXT = "the film was very good"
ASKING = 3
"""Threads that ask at the same time."""


@dataclass
class Serve:
    """A server at work, and a client that has its key."""

    root: Path
    process: subprocess.Popen[str]
    url: str

    def ask(self, who: str | None) -> httpx.Response:
        rows = {"dataframe_records": [{"text": TEXT, "contributor": who}]}
        key = ("any", server_key(self.root))
        return httpx.post(f"{self.url}/invocations", json=rows, auth=key, timeout=120)

    def end(self, number: signal.Signals) -> tuple[float, int, str]:
        """Send a signal; how long it took to end, the exit code, and all it wrote."""
        started = time.monotonic()
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return time.monotonic() - started, self.process.returncode, out + err


@contextmanager
def serving(root: Path, *arguments: str) -> Iterator[Serve]:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "serve", "--port", "0", *arguments],
        cwd=root,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_signals,
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert "answers at" in first, process.communicate()
        url = first.split()[-1].removesuffix("/invocations")
        for _ in range(2):
            process.stdout.readline()
        yield Serve(root, process, url)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def two(fresh: Workspace) -> Workspace:
    build_plainly(fresh.root)
    return fresh


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_five_seconds_in_one_line(
    two: Workspace, number: signal.Signals
) -> None:
    with serving(two.root) as here:
        assert here.ask(ANN).status_code == 200
        seconds, code, said = here.end(number)
    assert seconds < 5
    assert (code, said) == (0, "Ended.\n")
    (server,) = servers(two.root)
    assert not server.runs


def test_who_is_being_answered_does_not_hold_it_up(two: Workspace) -> None:
    with serving(two.root) as here, ThreadPoolExecutor(1) as pool:
        long = {"dataframe_records": [{"text": "good " * 60, "contributor": ANN}] * 20_000}
        key = ("any", server_key(two.root))
        asked = pool.submit(httpx.post, f"{here.url}/invocations", json=long, auth=key, timeout=120)
        time.sleep(2)
        seconds, code, said = here.end(signal.SIGTERM)
        assert seconds < 5
        assert (code, said) == (0, "Ended.\n")
        assert asked.exception() is not None or asked.result().status_code == 200


def test_under_load_nobody_is_refused_and_nobody_is_answered_under_a_mask_that_is_gone(
    two: Workspace,
) -> None:
    request(two, ANN)
    answers: list[tuple[float, str | None, httpx.Response]] = []
    over = threading.Event()

    def keep_asking(here: Serve, who: str | None) -> None:
        while not over.is_set():
            began = time.time()
            answers.append((began, who, here.ask(who)))
            time.sleep(0.05)

    with serving(two.root) as here:
        before = {who: here.ask(who).json() for who in (ANN, BOB, None)}
        assert before[ANN] != before[None]
        with ThreadPoolExecutor(ASKING) as pool:
            asking = [pool.submit(keep_asking, here, who) for who in (ANN, BOB, None)]
            opt_out_plainly(two.root)
            time.sleep(2)
            over.set()
            for one in asking:
                one.result()
        with two.lineage.reader() as reader:
            champion = reader.champion(two.settings.model.name)
        assert champion is not None and champion.version == 2
        after = {who: here.ask(who).json() for who in (ANN, BOB, None)}
        (server,) = servers(two.root)
    assert after[ANN] == after[None]
    assert {response.status_code for _, _, response in answers} == {200}
    assert [one.version for one in server.taken] == [1, 2]
    switched = server.taken[1].taken_at.timestamp()
    for began, who, response in answers:
        version = response.headers[VERSION_HEADER]
        assert response.json() == (before if version == "1" else after)[who]
        if began > switched:
            assert version == "2"
    assert {response.headers[VERSION_HEADER] for _, _, response in answers} == {"1", "2"}


def test_the_requests_of_the_docs_are_answered(two: Workspace) -> None:
    page = (ROOT / "docs/how-to/serving.md").read_text(encoding="utf-8")
    with serving(two.root) as here:
        commands = "\n".join(blocks(page, "bash")).replace("http://127.0.0.1:8000", here.url)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=two.root,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr + done.stdout
    first = json.loads(done.stdout[: done.stdout.index("}]}") + 3])
    assert len(first["predictions"]) == 3
    assert "sift_served_rows_total 4.0" in done.stdout


def test_it_says_where_it_answers_as_json_and_needs_a_champion_and_a_free_port(
    fresh: Workspace, sift: Any
) -> None:
    sift("serve", "--workspace", fresh.root, "--port", "0").refused(1, "has no champion")
    with serving_port() as port:
        sift("serve", "--workspace", fresh.root, "--port", str(port)).refused(2, "--port")


@contextmanager
def serving_port() -> Iterator[int]:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])
