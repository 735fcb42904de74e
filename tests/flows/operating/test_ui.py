"""A person at the Prefect UI, in a real browser: an opt-out from its form to its report.

With `--update-goldens` the screenshots of the docs are taken anew.
"""

import contextlib
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

from flows.workspace import Workspace
from tests.flows.operating.services_of import answer, sift, up
from tests.flows.traces import traces
from tests.flows.workspaces import CONTRIBUTORS, build_plainly, make_workspace, marker, reviews

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the browser's driver is not installed"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
]

IMAGES = Path(__file__).parents[3] / "docs" / "images"
LEAVER = CONTRIBUTORS[0]
REASON = "identity proven, no duty to keep"
PATIENCE_MS = 120_000
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass
class Desk:
    """The browser, the API beside it, and the workspace they are about."""

    page: Any
    url: str
    place: Workspace
    photograph: bool

    @property
    def api(self) -> str:
        return f"{self.url}/api"

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
        found = httpx.post(f"{self.api}/flow_runs/filter", json={"sort": "START_TIME_DESC"})
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
        rows = httpx.post(f"{self.api}/deployments/filter", json={}).json()
        return str(next(row["id"] for row in rows if row["name"] == name))

    def artifacts(self, run: dict[str, Any]) -> dict[str, dict[str, Any]]:
        of_run = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}}
        rows = httpx.post(f"{self.api}/artifacts/filter", json=of_run).json()
        return {row["key"]: row for row in rows}


@pytest.fixture
def desk(tmp_path: Path, tiny_classifier: Path, update_goldens: bool) -> Iterator[Desk]:
    rows = [row for who in CONTRIBUTORS[:6] for row in reviews(who)]
    place = make_workspace(tmp_path / "films", tiny_classifier, [rows])
    build_plainly(place.root)
    with up(place.root) as services, sync_api.sync_playwright() as driver:
        # The sandbox needs rights that a container's root has not; the pages are our own.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        yield Desk(page, services["prefect"]["url"], place, update_goldens)
        browser.close()


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
    key.fill(desk.place.key_of(LEAVER))
    name.fill("the clerk")
    desk.photo("form")
    page.get_by_role("button", name="Submit").click()


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
    until = time.monotonic() + 300
    while form.is_visible() and time.monotonic() < until:
        # On a busy machine a click now and then hits before the page has taken in what was typed.
        form.get_by_role("button", name="Submit").click()
        with contextlib.suppress(sync_api.TimeoutError):
            form.wait_for(state="hidden", timeout=15_000)
    assert not form.is_visible()


def look_at_models(address: str, stop: threading.Event, seen: list[int]) -> None:
    """Somebody looks around in MLflow all the while."""
    search = f"{address}/api/2.0/mlflow/model-versions/search"
    while not stop.is_set():
        seen.append(httpx.get(search, timeout=60).status_code)
        time.sleep(0.2)


def test_an_opt_out_from_the_form_over_the_approval_to_the_report(desk: Desk) -> None:
    page, place = desk.page, desk.place
    desk.open("/deployments", 640)
    page.get_by_text("process-requests").first.wait_for()
    desk.photo("deployments")

    send_form(desk)
    run = desk.run_in("opt-out", {"PAUSED"})
    assert run["parameters"]["form"]["requests"] == ["opt-out-0001"]
    approve(desk, run, f"as {LEAVER} wrote")  # it names the contributor: asked again
    time.sleep(2)
    run = desk.run_in("opt-out", {"PAUSED"})
    mlflow = next(r["url"] for r in answer(place.root, "up") if r["service"] == "mlflow")
    stop, seen = threading.Event(), list[int]()
    visitor = threading.Thread(target=look_at_models, args=(mlflow, stop, seen))
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

    built = sift(place.root, "build", "--json")
    assert built.returncode == 0, built.stderr
    latest = desk.runs()[0]
    assert latest["deployment_id"] is None, "what a command runs is in the UI, too"
    chart = desk.artifacts(latest)["quality"]
    desk.open(f"/artifacts/artifact/{chart['id']}", 860)
    picture = page.locator("img[alt^='Quality']")
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 300
    desk.photo("quality")

    assert sift(place.root, "audit").returncode == 0
    assert answer(place.root, "down")["stopped"] == ["worker", "mlflow", "prefect"]
    needles = {"id": LEAVER.encode(), "rows": marker(LEAVER).encode(), "why": REASON.encode()}
    left = traces(place.root, needles)
    assert set(left) == {"why"}, left


def _question(desk: Desk, run: dict[str, Any]) -> str:
    """What the form of a paused run says."""
    state = httpx.get(f"{desk.api}/flow_runs/{run['id']}").json()["state"]
    keys = state["state_details"].get("run_input_keyset")
    if not keys:
        return ""
    return httpx.get(f"{desk.api}/flow_runs/{run['id']}/input/{keys['description']}").text


def test_what_was_running_when_all_went_down_is_crashed_and_can_be_tried_again(desk: Desk) -> None:
    place = desk.place
    name = f"{desk.api}/deployments/{desk.deployment('opt-out')}/create_flow_run"
    form = {"contributor_key": place.key_of(LEAVER), "filed_by": "the clerk"}
    httpx.post(name, json={"parameters": {"form": form}}).raise_for_status()
    run = desk.run_in("opt-out", {"PAUSED"})
    answer(place.root, "down")
    with up(place.root) as services:
        api = f"{services['prefect']['url']}/api"
        crashed = httpx.get(f"{api}/flow_runs/{run['id']}").json()
        assert crashed["state_type"] == "CRASHED" and "sift up" in crashed["state"]["message"]
        assert crashed["parameters"]["form"]["requests"] == ["opt-out-0001"]
        requests = answer(place.root, "opt-out", "status")
        assert [row["request_id"] for row in requests] == ["opt-out-0001"]
