"""Every run is told of in OpenLineage's words, with what it read, made and destroyed; no names."""

import errno
import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import ValidationError
from openlineage.client.transport.file import LocalFileHandler

from flows.integrations.openlineage import delivery
from flows.integrations.openlineage.delivery import Sender
from flows.integrations.openlineage.events import FILE
from flows.ui.run_events import observed
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from lineage.opt_out import STEPS
from tests.support.departures import LEAVER
from tests.support.openlineage_spec import official_schemas, require_by_the_book, require_official
from tests.support.workspaces import CONTRIBUTORS, change, request

Event = dict[str, Any]


def events(workspace: Workspace) -> list[Event]:
    return [json.loads(line) for line in (workspace.root / FILE).read_bytes().splitlines()]


def ended(workspace: Workspace, job: str) -> Event:
    """The one event that a job ended with."""
    (event,) = (
        event
        for event in events(workspace)
        if event["job"]["name"] == job and event["eventType"] != "START"
    )
    return event


def names(artifacts: list[Event]) -> set[str]:
    return {one["name"] for one in artifacts}


def change_of(artifact: Event) -> str:
    return str(artifact["facets"]["lifecycleStateChange"]["lifecycleStateChange"])


def test_every_event_is_as_openlineage_has_it(left: Workspace) -> None:
    told = events(left)
    assert len(told) > 2 * (len(STEPS) - 1)
    for event in told:
        require_official(event)


def test_every_event_is_valid_by_the_official_schemas(left: Workspace) -> None:
    spec = official_schemas()
    if spec is None:
        pytest.skip("set OPENLINEAGE_SPEC to the folder spec of a clone of OpenLineage")
    assert all(require_by_the_book(event, spec) > 1 for event in events(left))
    broken = events(left)[0]
    del broken["run"]["facets"]["processing_engine"]["version"]
    with pytest.raises(ValidationError):
        require_by_the_book(broken, spec)


def test_every_run_starts_and_ends_once_within_its_flow(left: Workspace) -> None:
    runs: dict[str, list[Event]] = {}
    for event in events(left):
        runs.setdefault(event["run"]["runId"], []).append(event)
    for start, *rest in runs.values():
        assert [start["eventType"], *(event["eventType"] for event in rest)] == [
            "START",
            "COMPLETE",
        ]
    parents = {
        first["job"]["name"]: first["run"]["facets"].get("parent", {}).get("job", {}).get("name")
        for first, _ in runs.values()
    }
    assert parents["build"] is None
    assert parents["build.merge"] == "build"
    assert parents["build.finetune.shard"] == "build.finetune"
    # The request was received, identified and approved before its flow began.
    work = set(STEPS) - {"received", "identified", "approved"}
    assert {f"opt_out.{step}" for step in work} <= parents.keys()


def test_a_build_tells_what_was_made_from_what(built: Workspace) -> None:
    shards = [
        event
        for event in events(built)
        if event["job"]["name"] == "build.finetune.shard" and event["eventType"] == "COMPLETE"
    ]
    read = set().union(*(names(event["inputs"]) for event in shards))
    made = set().union(*(names(event["outputs"]) for event in shards))
    for contributor in CONTRIBUTORS:
        key = built.key_of(contributor)
        assert len([name for name in read if name.startswith(f"data/{key}/")]) == 1
        assert len([name for name in made if name.startswith(f"vectors/{key}/")]) == 1
        assert len([name for name in made if name.startswith(f"masks/{key}/")]) == 1
    state = current_state(built)
    merged, registered = ended(built, "build.merge"), ended(built, "build.register")
    assert names(merged["inputs"]) == made
    assert names(merged["outputs"]) == {f"merge/1/{state.state_sha256}"}
    assert names(registered["inputs"]) == {f"merge/1/{state.state_sha256}", f"base/{state.base_id}"}
    assert names(registered["outputs"]) == {"models/1"}


def test_an_opt_out_is_told_as_a_removal(left: Workspace) -> None:
    key = left.key_of(LEAVER)
    removed, purged = ended(left, "opt_out.removed"), ended(left, "opt_out.purged")
    read = names(removed["inputs"])
    assert {name.split("/")[0] for name in read} == {"merge", "vectors", "masks"}
    assert all(key in name for name in read if not name.startswith("merge/"))
    assert [change_of(one) for one in removed["outputs"]] == ["CREATE"]
    dropped = {one["name"].split("/")[0] for one in purged["outputs"] if change_of(one) == "DROP"}
    assert dropped == {"data", "vectors", "masks", "merge", "models"}
    assert purged["run"]["facets"]["sift_requests"]["requests"] == ["opt-out-0001"]


def test_nobody_is_named_and_nothing_of_the_machine(left: Workspace) -> None:
    text = (left.root / FILE).read_text()
    assert not any(contributor in text for contributor in CONTRIBUTORS)
    assert str(left.root) not in text


def test_a_failure_is_told_by_its_kind_alone(fresh: Workspace) -> None:
    with pytest.raises(ValueError, match="ann"), observed(fresh, "work"):
        raise ValueError("something about ann")
    event = ended(fresh, "work")
    require_official(event)
    assert event["eventType"] == "FAIL"
    assert event["run"]["facets"]["errorMessage"]["message"] == "ValueError"
    assert "ann" not in (fresh.root / FILE).read_text()


def test_a_full_disk_is_an_error_of_the_operating_system(
    fresh: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LocalFileHandler, "open_file", full)
    with pytest.raises(OSError, match="No space left"), observed(fresh, "work"):
        pass


def test_a_line_that_a_killed_process_left_spoils_no_other(fresh: Workspace) -> None:
    (fresh.root / FILE).write_bytes(b'{"eventType": "STA')
    with observed(fresh, "work"):
        pass
    first, *rest = (fresh.root / FILE).read_bytes().splitlines()
    assert first == b'{"eventType": "STA'
    assert [json.loads(line)["eventType"] for line in rest] == ["START", "COMPLETE"]


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[Event]]]:
    """A server that takes OpenLineage's events, and what it was sent."""
    received: list[Event] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            received.append(json.loads(body))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_endpoint_gets_what_the_file_has(
    fresh: Workspace, endpoint: tuple[str, list[Event]]
) -> None:
    url, received = endpoint
    workspace = change(fresh, "transport: {}", f"transport: {{type: http, url: '{url}'}}")
    filed = request(workspace, "ann")
    with observed(workspace, "work", [filed.request_id]):
        pass
    assert received == events(workspace)
    assert [event["eventType"] for event in received] == ["START", "COMPLETE"]


def test_an_endpoint_that_is_away_is_said_and_stops_nothing(
    fresh: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = "{type: http, url: 'http://127.0.0.1:9', timeout: 1, retry: {total: 0}}"
    workspace = change(fresh, "transport: {}", f"transport: {nowhere}")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with observed(workspace, "work"):
                pass
    assert len(events(workspace)) == 6
    assert [record.name for record in caplog.records].count("sift.openlineage") == 1
    assert str(Path(FILE)) in caplog.text


class Endpoint:
    """An endpoint that is away, slow or well, as the test says."""

    def __init__(self) -> None:
        self.received: list[Event] = []
        self.mood = "well"

    def emit(self, event: Event) -> None:
        if self.mood == "away":
            raise ConnectionError
        if self.mood == "slow":
            time.sleep(30)
        if self.mood == "picky":
            error = ValueError("no")
            error.response = SimpleNamespace(status_code=422)  # type: ignore[attr-defined]
            raise error
        self.received.append(event)


def _later_command(file: Path) -> None:
    """Forget what this process knows of the endpoint, as a new process does."""
    Sender._tired_since.clear()
    Sender._patience.clear()


def _append(file: Path, *numbers: int) -> None:
    with file.open("a") as lines:
        lines.writelines(f'{{"number": {number}}}\n' for number in numbers)


@pytest.mark.parametrize("mood", ["away", "slow"])
def test_events_wait_in_the_file_and_are_sent_later_in_order_and_once(
    mood: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PATIENCE_SECONDS", 0.2)
    file, endpoint = tmp_path / "openlineage.jsonl", Endpoint()
    _append(file, -2, -1)  # of the time before there was an endpoint
    sender = Sender(file, endpoint)
    started = time.monotonic()
    for number in range(20):
        endpoint.mood = mood if number >= 2 else "well"
        sender.begin()
        _append(file, number)
        sender.send()
        sender = Sender(file, endpoint)  # a process opens its workspace more than once
    assert time.monotonic() - started < 3
    assert [event["number"] for event in endpoint.received] == [0, 1]

    endpoint.mood = "well"
    Sender(file, endpoint).send()
    assert len(endpoint.received) == 2  # this command has waited enough
    _later_command(file)
    _append(file, 20)
    Sender(file, endpoint).send()
    assert [event["number"] for event in endpoint.received] == list(range(21))


def test_an_event_that_is_refused_keeps_no_other_back(tmp_path: Path) -> None:
    file, endpoint = tmp_path / "openlineage.jsonl", Endpoint()
    sender = Sender(file, endpoint)
    sender.begin()
    for number, mood in enumerate(("picky", "well")):
        endpoint.mood = mood
        _append(file, number)
        sender.send()
    assert [event["number"] for event in endpoint.received] == [1]
