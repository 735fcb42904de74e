"""A page that the operator has open elsewhere, and whoever else can send requests to this machine.

The table is held against the guard in front of a server of two lines, which is quick, and against
all real servers, which is slow. Then what a caller who has the key may have run.
"""

import base64
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import websockets.sync.client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from flows.integrations.mlflow.server import nothing_that_runs, reading_only
from flows.integrations.servers.guard import Guard
from flows.workspace.server_key import key_path, server_key
from flows.workspace.workspace import Workspace
from tests.support.services import Up, caller, up
from tests.support.workspaces import make_workspace, reviews

KEY = "the key of these tests"
OWN = "127.0.0.1:4200"


@dataclass(frozen=True)
class Case:
    """One request: what is tried, and its headers; `{own}` stands for the server's address."""

    name: str
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    key: str | None = KEY
    body: bytes = b"{}"

    def sent_to(self, own: str) -> dict[str, str]:
        """Its headers, for a server at this address."""
        return {name: value.format(own=own) for name, value in self.headers.items()}


CASES = (
    Case("a page of another site", {"Origin": "http://evil.example"}),
    Case("a page of another port of this machine", {"Origin": "http://127.0.0.1:9"}),
    Case("the same port under another name of this machine", {"Origin": "http://localhost:4200"}),
    Case("a page that hides where it is from", {"Origin": "null"}),
    Case("an origin that begins as ours", {"Origin": "http://{own}.evil.example"}),
    Case("an origin that ends as ours", {"Origin": "http://evil.example/{own}"}),
    Case("a name that points here (DNS rebinding)", {"Host": "evil.example"}),
    Case("a rebound name with our port", {"Host": "evil.example:4200"}),
    Case("a rebound name, and its page", {"Host": "evil.example", "Origin": "http://evil.example"}),
    Case("this machine without our port", {"Host": "127.0.0.1"}),
    Case("this machine by its other name", {"Host": "localhost:4200"}),
    Case("no host", {"Host": ""}),
    Case("another site's picture", {"Sec-Fetch-Site": "cross-site"}, "GET"),
    Case("another port's script", {"Sec-Fetch-Site": "same-site"}, "GET"),
    Case(
        "a frame in another site's page",
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        "GET",
    ),
    Case(
        "a form that another site sends",
        {
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
            "Content-Type": "text/plain",
        },
    ),
    Case(
        "a form of JSON as text",
        {"Origin": "http://evil.example", "Content-Type": "text/plain"},
    ),
    Case(
        "asking before the request (preflight)",
        {
            "Origin": "http://evil.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,authorization",
        },
        "OPTIONS",
    ),
    Case("no key", key=None),
    Case("no key, to read", method="GET", key=None),
    Case("another key", key="wrong"),
    Case("an empty key", key=""),
    Case("the beginning of the key", key=KEY[:-1]),
)
"""Each is refused, whatever else is right about it."""


def by_name(case: Case) -> str:
    return case.name


def basic(password: str, name: str = "") -> str:
    """The header that a browser sends for a name and a password."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture(scope="module")
def guarded() -> Iterator[TestClient]:
    async def answer(_: Request) -> PlainTextResponse:
        return PlainTextResponse("through")

    async def talk(line: WebSocket) -> None:
        await line.accept()
        await line.send_text("through")

    methods = ["GET", "POST", "OPTIONS"]
    routes = [Route("/{path:path}", answer, methods=methods), WebSocketRoute("/{path:path}", talk)]
    with TestClient(Guard(Starlette(routes=routes), [OWN], key=KEY), f"http://{OWN}") as client:
        yield client


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_the_guard_lets_none_of_it_through(guarded: TestClient, case: Case) -> None:
    headers = case.sent_to(OWN) | ({} if case.key is None else {"Authorization": basic(case.key)})
    answer = guarded.request(case.method, "/api/anything", headers=headers, content=case.body)
    assert answer.status_code in (401, 403, 421) and "through" not in answer.text
    assert "access-control-allow-origin" not in answer.headers
    assert answer.text.count("\n") == 1, "one line"


@pytest.mark.parametrize("case", [c for c in CASES if c.key == KEY], ids=by_name)
def test_neither_health_nor_a_websocket_is_an_exception(guarded: TestClient, case: Case) -> None:
    headers = case.sent_to(OWN) | {"Authorization": basic(KEY)}
    if case.method == "GET":
        assert guarded.get("/health", headers=headers).status_code in (403, 421)
    with (
        pytest.raises(WebSocketDisconnect),
        guarded.websocket_connect(f"ws://{OWN}/events", headers=headers),
    ):
        pass


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": basic(KEY)},
        {"Authorization": basic(KEY, "anybody")},
        {"Authorization": basic(KEY), "Origin": f"http://{OWN}"},
        {"Authorization": basic(KEY), "Sec-Fetch-Site": "same-origin"},
        {"Authorization": basic(KEY), "Sec-Fetch-Site": "none"},
        {
            "Authorization": basic(KEY),
            "Sec-Fetch-Site": "same-site",  # a link from the Prefect UI
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
        },
    ],
)
def test_its_own_pages_links_and_commands_are_answered(
    guarded: TestClient, headers: dict[str, str]
) -> None:
    assert guarded.get("/api/anything", headers=headers).text == "through"
    assert guarded.get("/health").text == "through", "says that it is up, to whoever asks"


@pytest.mark.parametrize(
    "given",
    ["Bearer x", "Basic", "Basic !", f"Digest {basic(KEY)[6:]}", "Basic " + "A" * 5, basic("é")],
)
def test_no_other_spelling_of_a_key_is_one(guarded: TestClient, given: str) -> None:
    headers = {"Authorization": given.encode("latin-1")}
    assert guarded.get("/api/anything", headers=headers).status_code == 401


def test_two_headers_where_one_is_meant_are_refused(guarded: TestClient) -> None:
    own = ("Authorization", basic(KEY))
    twice = [("Host", OWN), ("Host", "evil.example"), own]
    assert guarded.get("/x", headers=twice).status_code == 421
    twice = [own, ("Origin", f"http://{OWN}"), ("Origin", "http://evil.example")]
    assert guarded.get("/x", headers=twice).status_code == 403
    assert guarded.get("/x", headers=[own, own]).status_code == 401


MLFLOW = (
    ("POST", "/api/2.0/mlflow/experiments/create", "changes"),
    ("POST", "/ajax-api/2.0/mlflow/runs/create", "changes"),
    ("POST", "/ajax-api/2.0/mlflow/artifacts/presigned-upload-url", "changes"),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/x", "changes"),
    ("PATCH", "/api/2.0/mlflow/model-versions/update", "changes"),
    ("DELETE", "/api/2.0/mlflow/model-versions/delete", "changes"),
    ("POST", "/ajax-api/3.0/mlflow/assistant/message", "runs"),
    ("GET", "/ajax-api/3.0/mlflow/assistant/config", "runs"),
    ("POST", "/ajax-api/3.0/mlflow/assistant/skills/install", "runs"),
    ("POST", "/ajax-api/3.0/jobs/", "runs"),
    ("POST", "/ajax-api/3.0/jobs/search", "runs"),
    ("POST", "/gateway/x/mlflow/invocations", "runs"),
    ("POST", "/ajax-api/3.0/mlflow/gateway/secrets/create", "runs"),
    ("POST", "/api/2.0/mlflow/webhooks", "runs"),
    ("POST", "/api/3.0/mlflow/mcp-servers/search", "runs"),
    ("POST", "/ajax-api/3.0/mlflow/genai/evaluate/invoke", "runs"),
    ("POST", "/ajax-api/3.0/mlflow/scorer/invoke", "runs"),
    ("POST", "/ajax-api/3.0/mlflow/issues/invoke", "runs"),
    ("GET", "/api/2.0/mlflow/model-versions/search", ""),
    ("GET", "/get-artifact", ""),
    ("POST", "/ajax-api/2.0/mlflow/runs/search", ""),
    ("POST", "/graphql", ""),
)
"""What MLflow offers, and what is wrong with it: it runs or calls something, or it changes."""


@pytest.mark.parametrize(("method", "path", "wrong"), MLFLOW)
def test_mlflow_shows_and_a_team_s_also_records_and_neither_runs_anything(
    method: str, path: str, wrong: str
) -> None:
    assert (reading_only(method, path) is not None) == bool(wrong)
    assert (nothing_that_runs(method, path) is not None) == (wrong == "runs")


def test_every_change_that_mlflow_offers_is_closed_where_it_only_shows() -> None:
    from mlflow.server import handlers

    changing = ("create", "delete", "update", "set-", "log-", "rename", "restore", "transition")
    offered = [
        (method, path)
        for path, _, methods in handlers.get_endpoints()
        for method in methods
        if method in ("PUT", "PATCH", "DELETE") or any(word in path for word in changing)
        if method != "GET"
    ]
    assert len(offered) > 50
    assert [one for one in offered if reading_only(*one) is None] == []


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path
) -> Iterator[tuple[Workspace, Up]]:
    """A workspace that is up, with its servers by name."""
    root = tmp_path_factory.mktemp("hostile") / "films"
    workspace = make_workspace(root, tiny_classifier, [reviews("ann"), reviews("bob")])
    with up(root) as found:
        yield workspace, found


def asked(server: str, url: str, key: str) -> tuple[str, dict[str, str]]:
    """A route that reads, and what a caller with this key sends there."""
    if server == "mlflow":
        return f"{url}/api/2.0/mlflow/runs/search", {"Authorization": basic(key)}
    word = base64.b64encode(key.encode()).decode()
    return f"{url}/api/deployments/filter", {"Authorization": f"Basic {word}".strip()}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("server", ["prefect", "mlflow"])
def test_real_servers_refuse_all_of_it(services: tuple[Workspace, Up], server: str) -> None:
    workspace, found = services
    url, key = found.url(server), server_key(workspace.root)
    own = url.removeprefix("http://")
    for case in CASES:
        given = {None: None, KEY: key, KEY[:-1]: key[:-1]}.get(case.key, case.key)
        path, credentials = asked(server, url, given or "")
        headers = case.sent_to(own) | (credentials if given is not None else {})
        if server == "prefect" and case.method == "POST":
            token = caller(url, key).headers  # of Prefect's own check: also that one passes
            headers |= {name: token[name] for name in token if name.startswith("prefect-csrf")}
        answer = httpx.request(case.method, path, headers=headers, content=case.body)
        assert answer.status_code in (401, 403, 421), (case.name, answer.status_code, answer.text)
    for path in ("/api/health", "/api/ready", "/health", "/version", "/ui-settings", "/"):
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            answer = httpx.get(f"{url}{path}", headers=headers)
            assert answer.status_code in (403, 421), (path, headers)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "path",
    ["/api/events/out", "/api/events/in", "/api/logs/out", "/api/work_pools/x/workers/connect"],
)
@pytest.mark.parametrize("tried", ["origin", "host", "no key", "wrong key"])
def test_no_websocket_of_prefect_s_is_open(
    services: tuple[Workspace, Up], path: str, tried: str
) -> None:
    _, found = services
    own = found.url("prefect").removeprefix("http://")
    host = "evil.example" if tried == "host" else own
    how: dict[str, Any] = {"origin": "http://evil.example"} if tried == "origin" else {}
    line = socket.create_connection(("127.0.0.1", int(own.partition(":")[2])))
    try:
        with websockets.sync.client.connect(
            f"ws://{host}{path}", sock=line, subprotocols=[Subprotocol("prefect")], **how
        ) as talk:
            assert tried in ("no key", "wrong key")
            token = "wrong" if tried == "wrong key" else None
            talk.send(json.dumps({"type": "auth", "token": token}))
            with pytest.raises(ConnectionClosed):
                while True:
                    assert "auth_success" not in str(talk.recv(timeout=30))
    except InvalidStatus as refused:
        assert refused.response.status_code == 403 and tried in ("origin", "host")


def ran(client: httpx.Client, run: str) -> dict[str, Any]:
    """A run, once it has ended."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        found: dict[str, Any] = client.get(f"/flow_runs/{run}").json()
        if found["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            return found
        time.sleep(1)
    raise AssertionError(f"it goes on: {found}")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_whoever_has_the_key_still_has_nothing_run_that_is_not_in_prefect_yaml(
    services: tuple[Workspace, Up], tmp_path: Path
) -> None:
    workspace, found = services
    client = caller(found.url("prefect"), server_key(workspace.root))
    names = {row["name"]: row for row in client.post("/deployments/filter", json={}).json()}
    deployment = names["deadlines"]["id"]
    create = f"/deployments/{deployment}/create_flow_run"
    mark = tmp_path / "PWNED"
    shell = f"touch {mark}"
    evil = tmp_path / "evil.py"
    evil.write_text(
        f"open({str(mark)!r}, 'w').close()\nfrom prefect import flow\n@flow\ndef evil(): pass\n"
    )

    # What a pool's worker would take from a run, a deployment or the pool itself: nothing asks.
    tried = [
        {"command": shell},
        {"env": {"PYTHONSTARTUP": str(evil), "PATH": str(tmp_path)}},
        {"env": {"PREFECT__FLOW_ENTRYPOINT": f"{evil}:evil"}},
        {"working_dir": str(tmp_path)},
        {"image": "evil"},
        {"name": "evil"},
    ]
    asked = [client.post(create, json={"job_variables": variables}) for variables in tried]
    step = {"prefect.deployments.steps.run_shell_script": {"script": shell}}
    changed = {
        "entrypoint": f"{evil}:evil",
        "path": str(tmp_path),
        "pull_steps": [step],
        "storage_document_id": None,
        "job_variables": {"command": shell, "env": {"PREFECT__FLOW_ENTRYPOINT": f"{evil}:evil"}},
    }
    client.patch(f"/deployments/{deployment}", json=changed).raise_for_status()
    held = client.get(f"/deployments/{deployment}").json()
    assert held["entrypoint"] == f"{evil}:evil" and held["pull_steps"] == [step]

    flow = client.post("/flows/", json={"name": "evil"}).json()["id"]
    own = {"name": "evil", "flow_id": flow, "entrypoint": f"{evil}:evil", "pull_steps": [step]}
    made = client.post("/deployments/", json=own).raise_for_status().json()["id"]
    unknown = client.post(f"/deployments/{made}/create_flow_run", json={}).raise_for_status()

    asked.append(client.post(create, json={"job_variables": {"command": shell}}))
    for answer in asked:
        ended = ran(client, answer.raise_for_status().json()["id"])
        assert ended["state_type"] == "COMPLETED", ended["state"]
        assert ended["name"].startswith("deadlines"), "what prefect.yaml says"
    left = client.get(f"/flow_runs/{unknown.json()['id']}").json()
    assert left["state_type"] == "SCHEDULED", left["state"]
    assert not mark.exists() and not list(workspace.root.glob("PWNED*"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_key_is_the_owner_s_alone_and_stands_nowhere_else(
    services: tuple[Workspace, Up],
) -> None:
    workspace, found = services
    key = server_key(workspace.root)
    assert key_path(workspace.root).stat().st_mode & 0o077 == 0
    holding = [
        path.relative_to(workspace.root).as_posix()
        for path in workspace.root.rglob("*")
        if path.is_file() and key.encode() in path.read_bytes()
    ]
    assert holding == [".sift/server.key"]
    command = psutil.Process(found.process.pid)
    for process in [command, *command.children(recursive=True)]:
        assert key not in " ".join(process.cmdline())
