"""A person at the Prefect UI, in a real browser: an opt-out from its form to its report.

With `--update-goldens` the screenshots of the docs are taken anew.
"""

import contextlib
import http.server
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from flows.workspace.server_key import server_key
from flows.workspace.workspace import Workspace
from tests.support.paths import ROOT
from tests.support.services import Up, answer, caller, sift, up
from tests.support.traces import traces
from tests.support.workspaces import CONTRIBUTORS, build_plainly, make_workspace, marker, reviews

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the browser's driver is not installed"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
]

IMAGES = ROOT / "docs" / "images"
LEAVER = CONTRIBUTORS[0]
REASON = "identity proven, no duty to keep"
PATIENCE_MS = 120_000
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass
class Desk:
    """The browser, the API beside it, and the workspace they are about."""

    page: Any
    services: Up
    workspace: Workspace
    photograph: bool

    @property
    def url(self) -> str:
        """Prefect's."""
        return self.services.url("prefect")

    @property
    def client(self) -> httpx.Client:
        """The API, for whoever has the key."""
        return caller(self.url, server_key(self.workspace.root))

    def open(self, path: str, height: int) -> None:
        """Show a page in a window of this height."""
        self.page.set_viewport_size({"width": 1280, "height": height})
        self.page.goto(f"{self.url}{path}")

    def photo(self, name: str) -> None:
        """A screenshot for the docs."""
        if self.photograph:
            self.page.wait_for_timeout(3000)  # until nothing moves any more
            taken = Image.open(BytesIO(self.page.screenshot()))
            taken.quantize(128).save(IMAGES / f"ui-{name}.png", optimize=True)

    def runs(self) -> list[dict[str, Any]]:
        found = self.client.post("/flow_runs/filter", json={"sort": "START_TIME_DESC"})
        return [row for row in found.json() if row["state_type"] != "SCHEDULED"]

    def run_in(self, deployment: str, states: set[str]) -> dict[str, Any]:
        """The latest run of a deployment, once it is in one of these states."""
        until = time.monotonic() + 900
        row = None
        while time.monotonic() < until:
            identity = self.deployment(deployment)
            rows = [each for each in self.runs() if each["deployment_id"] == identity]
            row = rows[0] if rows else None
            if row and row["state_type"] in states:
                return row
            assert row is None or row["state_type"] not in ENDED, row["state"]
            time.sleep(1)
        raise AssertionError(f"{deployment} is not in {states}: {row}")

    def deployment(self, name: str) -> str:
        rows = self.client.post("/deployments/filter", json={}).json()
        return str(next(row["id"] for row in rows if row["name"] == name))

    def artifacts(self, run: dict[str, Any]) -> dict[str, dict[str, Any]]:
        of_run = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}}
        rows = self.client.post("/artifacts/filter", json=of_run).json()
        return {row["key"]: row for row in rows}


@pytest.fixture
def desk(tmp_path: Path, tiny_classifier: Path, update_goldens: bool) -> Iterator[Desk]:
    rows = [row for who in CONTRIBUTORS[:6] for row in reviews(who)]
    workspace = make_workspace(tmp_path / "films", tiny_classifier, [rows])
    build_plainly(workspace.root)
    with up(workspace.root) as services, sync_api.sync_playwright() as driver:
        # The sandbox needs rights that a container's root has not; the pages are our own.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        key = server_key(workspace.root)
        # Chromium asks for MLflow's name and password in a window of its own.
        mlflow = {"username": "anybody", "password": key, "origin": services.url("mlflow")}
        context = browser.new_context(http_credentials=mlflow)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        desk = Desk(page, services, workspace, update_goldens)
        sign_in(desk, key)
        yield desk
        browser.close()


def sign_in(desk: Desk, key: str) -> None:
    """Type the key, once, where Prefect's page asks for it; another one is not taken."""
    page = desk.page
    desk.open("/deployments", 640)
    field = page.get_by_placeholder("admin:pass")
    field.wait_for()
    with page.expect_response(lambda seen: seen.status == 401):
        field.fill("not the key")
        page.keyboard.press("Enter")
    page.get_by_text("Authentication failed").first.wait_for()
    field.fill(key)
    page.keyboard.press("Enter")
    field.wait_for(state="detached")
    desk.open("/deployments", 640)
    page.get_by_text("process-requests").first.wait_for()
    assert field.count() == 0, "asked once"


def send_form(desk: Desk) -> None:
    """Start an opt-out from its form; an id in the place of a key is refused and not stored."""
    page, path = desk.page, f"/deployments/deployment/{desk.deployment('opt-out')}/run"
    key, name = page.locator("textarea").nth(0), page.locator("textarea").nth(1)
    desk.open(path, 1560)
    key.fill(LEAVER)
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("Validation failed for field 'form.contributor_key'").first.wait_for()
    assert desk.runs() == []
    desk.open(path, 1560)
    key.fill(desk.workspace.key_of(LEAVER))
    name.fill("the clerk")
    desk.photo("form")
    submit(page.get_by_role("button", name="Submit"))


def submit(button: sync_api.Locator) -> None:
    """Press a form's button until the form is gone.

    On a busy machine a click now and then hits before the page has taken in what was typed.
    """
    until = time.monotonic() + 300
    while button.is_visible() and time.monotonic() < until:
        button.click()
        with contextlib.suppress(sync_api.TimeoutError):
            button.wait_for(state="hidden", timeout=15_000)
    assert not button.is_visible()


def approve(desk: Desk, run: dict[str, Any], reason: str) -> None:
    """Fill in the form of the paused run."""
    page = desk.page
    desk.open(f"/runs/flow-run/{run['id']}", 1000)
    page.get_by_role("button", name="Resume").first.click()
    form = page.locator(".p-modal")
    form.get_by_text("This cannot be undone").first.wait_for()
    form.locator("button.p-select-button__control").focus()
    page.keyboard.press("ArrowDown")
    page.locator(".p-select-option", has_text="approve").first.wait_for()
    page.keyboard.press("Enter")
    form.locator("textarea").nth(0).fill("the privacy officer")
    form.locator("textarea").nth(1).fill(REASON)
    if reason != REASON:  # asked for the first time: the form says nothing of a refusal yet
        desk.photo("approval")
    form.locator("textarea").nth(1).fill(reason)
    submit(form.get_by_role("button", name="Submit"))


def look_at_models(address: str, key: str, stop: threading.Event, seen: list[int]) -> None:
    """Somebody looks around in MLflow all the while."""
    search = f"{address}/api/2.0/mlflow/model-versions/search"
    while not stop.is_set():
        seen.append(httpx.get(search, auth=("anybody", key), timeout=60).status_code)
        time.sleep(0.2)


def test_an_opt_out_from_the_form_over_the_approval_to_the_report(desk: Desk) -> None:
    page, workspace = desk.page, desk.workspace
    desk.open("/deployments", 640)
    page.get_by_text("process-requests").first.wait_for()
    desk.photo("deployments")

    send_form(desk)
    run = desk.run_in("opt-out", {"PAUSED"})
    assert run["parameters"]["form"]["requests"] == ["opt-out-0001"]
    approve(desk, run, f"as {LEAVER} wrote")  # it names the contributor: asked again
    time.sleep(2)
    run = desk.run_in("opt-out", {"PAUSED"})
    mlflow = desk.services.url("mlflow")
    stop, seen = threading.Event(), list[int]()
    visitor = threading.Thread(
        target=look_at_models, args=(mlflow, server_key(workspace.root), stop, seen)
    )
    visitor.start()
    try:
        deadline = time.monotonic() + 120
        while "names a contributor" not in _question(desk, run) and time.monotonic() < deadline:
            time.sleep(1)
            run = desk.run_in("opt-out", {"PAUSED"})
        approve(desk, run, REASON)
        run = desk.run_in("opt-out", {"COMPLETED"})
    finally:
        stop.set()
        visitor.join()
    assert set(seen) == {200}

    found = desk.artifacts(run)
    assert {"opt-out-progress", "exactness", "destroyed", "quality-before-and-after"} < set(found)
    assert found["opt-out-progress"]["data"] == 100.0
    desk.open(f"/artifacts/artifact/{found['exactness']['id']}", 560)
    page.get_by_text("Exact, bit for bit").first.wait_for()
    desk.photo("exactness")
    desk.open(f"/runs/flow-run/{run['id']}", 860)
    page.get_by_text("reported").first.wait_for()
    desk.photo("run")

    desk.open(f"/artifacts/artifact/{found['opt-out-summary']['id']}", 760)
    link = page.get_by_role("link", name="Open it in MLflow")
    link.wait_for()
    desk.photo("report-artifact")
    page.goto(link.get_attribute("href"))
    page.frame_locator("iframe").get_by_text("Removed exactly").first.wait_for()

    built = sift(workspace.root, "build", "--json")
    assert built.returncode == 0, built.stderr
    latest = desk.runs()[0]
    assert latest["deployment_id"] is None, "what a command runs is in the UI, too"
    chart = desk.artifacts(latest)["quality"]
    desk.open(f"/artifacts/artifact/{chart['id']}", 860)
    picture = page.locator("img[alt$='of each contributor by weights']")
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 300
    desk.photo("quality")

    assert sift(workspace.root, "audit").returncode == 0
    desk.services.end()
    needles = {"id": LEAVER.encode(), "rows": marker(LEAVER).encode(), "why": REASON.encode()}
    left = traces(workspace.root, needles)
    assert set(left) == {"why"}, left


def _question(desk: Desk, run: dict[str, Any]) -> str:
    """What the form of a paused run says."""
    state = desk.client.get(f"/flow_runs/{run['id']}").json()["state"]
    keys = state["state_details"].get("run_input_keyset")
    if not keys:
        return ""
    return desk.client.get(f"/flow_runs/{run['id']}/input/{keys['description']}").text


def test_what_was_running_when_all_went_down_is_cancelled_and_can_be_tried_again(
    desk: Desk,
) -> None:
    workspace = desk.workspace
    name = f"/deployments/{desk.deployment('opt-out')}/create_flow_run"
    form = {"contributor_key": workspace.key_of(LEAVER), "filed_by": "the clerk"}
    desk.client.post(name, json={"parameters": {"form": form}}).raise_for_status()
    run = desk.run_in("opt-out", {"PAUSED"})
    desk.services.end()
    with up(workspace.root) as services:
        again = caller(services.url("prefect"), server_key(workspace.root))
        ended = again.get(f"/flow_runs/{run['id']}").json()
        assert ended["state_type"] == "CANCELLED"
        assert ended["parameters"]["form"]["requests"] == ["opt-out-0001"]
        requests = answer(workspace.root, "opt-out", "status")
        assert [row["request_id"] for row in requests] == ["opt-out-0001"]


FOREIGN_PAGE = """async ([prefect, mlflow, key]) => {
    const given = {'Authorization': 'Basic ' + btoa(key), 'Content-Type': 'application/json'};
    const tried = {
        read: [`${prefect}/api/flows/filter`, {method: 'POST', headers: given, body: '{}'}],
        health: [`${prefect}/api/health`, {}],
        settings: [`${prefect}/ui-settings`, {}],
        form: [`${prefect}/api/flows/`, {method: 'POST', body: '{"name": "evil"}'}],
        mlflow: [`${mlflow}/api/2.0/mlflow/experiments/search?max_results=1`, {headers: given}],
        withPassword: [`${mlflow}/version`, {credentials: 'include'}],
    };
    const read = {};
    for (const [name, [url, how]] of Object.entries(tried)) {
        read[name] = await fetch(url, how).then(answer => answer.text(), () => null);
    }
    read.socket = await new Promise(tell => {
        const socket = new WebSocket(prefect.replace('http', 'ws') + '/api/events/out', 'prefect');
        socket.onopen = () => tell('open');
        socket.onerror = () => tell(null);
    });
    return read;
}"""


def test_a_page_of_another_server_reads_and_sends_nothing(desk: Desk) -> None:
    """Even where it knows the key, and the browser has it too."""
    key = server_key(desk.workspace.root)
    mlflow = desk.services.url("mlflow")
    page = desk.page.context.new_page()
    sent: list[int] = []
    page.on("response", lambda seen: sent.append(seen.status) if seen.url != foreign else None)
    with pages("<title>elsewhere</title>") as foreign:
        page.goto(foreign)
        read = page.evaluate(FOREIGN_PAGE, [desk.url, mlflow, key])
        assert read == dict.fromkeys(
            ("read", "health", "settings", "form", "mlflow", "withPassword", "socket")
        )
        page.set_content(f"<iframe src='{desk.url}/deployments'></iframe>")
        page.wait_for_timeout(2000)
        assert "process-requests" not in page.frames[-1].content()
        page.set_content(f"<a href='{desk.url}/deployments'>a link</a>")
        page.get_by_text("a link").click()
        page.get_by_text("process-requests").first.wait_for()
    assert {403} <= set(sent) <= {200, 304, 307, 403}
    names = {row["name"] for row in desk.client.post("/flows/filter", json={}).json()}
    assert "evil" not in names


@contextlib.contextmanager
def pages(html: str) -> Iterator[str]:
    """A web server of somebody else, on another port; its address."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
