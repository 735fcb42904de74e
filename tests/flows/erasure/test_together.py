"""Several leave in one run, while the remote is out of reach at first."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.erasure.plan import Plan, plan
from flows.erasure.request import Request
from flows.erasure.set_aside import SetAsideError
from flows.erasure.status import RequestStatus, request_statuses
from flows.erasure.steps.purged import PendingError
from flows.erasure.steps.removed import remove
from flows.evidence.export import export
from flows.evidence.verification import verify
from flows.opt_out import take_steps
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from lineage import DisclosureRecord
from tests.support.departures import belongings
from tests.support.kept import FEW, LEAVER, STAYER, Both
from tests.support.killed import Point, dies
from tests.support.traces import traces
from tests.support.trees import tree
from tests.support.workspaces import TWINS, Snapshot, merge_bytes, report_of, request

TWIN, OTHER_TWIN = TWINS


def run(workspace: Workspace, names: list[str]) -> None:
    with workspace.lock():
        take_steps([Request(workspace, name) for name in names])


def kept_files(workspace: Workspace) -> set[tuple[str, str]]:
    """Every file but DVC's own notes on what it looked at."""
    return {(path, what) for path, what in tree(workspace.root).items() if ".dvc/tmp" not in path}


@dataclass(frozen=True)
class Together:
    """What there was before, between and after."""

    snapshot: Snapshot
    names: list[str]
    plans: dict[str, Plan]
    changed_by_planning: set[str]
    needles: dict[str, bytes]
    one_by_one: bytes
    pending: list[RequestStatus]
    complaint: str
    told: list[DisclosureRecord]


@pytest.fixture(scope="module")
def _together(_both: Both, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Together]:
    workspace = _both.vectors.restore()
    for who in (LEAVER, TWIN):
        remove([request(workspace, who)])
    one_by_one = merge_bytes(workspace)

    workspace = _both.vectors.restore()
    needles = belongings(workspace, LEAVER)
    export(workspace, tmp_path_factory.mktemp("out") / "given", None, "Partner Ltd", "pilot")
    names = [request(workspace, who).request_id for who in (LEAVER, TWIN)]
    before = kept_files(workspace)
    plans = {name: plan(workspace, name) for name in names}
    changed = {path for path, _ in before ^ kept_files(workspace)}

    remote = workspace.root / "remote"
    remote.rename(remote.with_name("away"))
    with pytest.raises(PendingError) as caught:
        run(workspace, names)
    pending = request_statuses(workspace)
    assert not remote.exists(), "a remote that is away is not made anew"
    remote.with_name("away").rename(remote)
    run(Workspace.open(workspace.root), names)
    with workspace.lineage.reader() as reader:
        told = reader.process.recipients(names[0])
    yield Together(
        Snapshot.take(workspace.root, "after two left"),
        names,
        plans,
        changed,
        needles,
        one_by_one,
        pending,
        str(caught.value),
        told,
    )


@pytest.fixture
def together(_together: Together) -> Together:
    return _together


@pytest.fixture
def after(_together: Together) -> Workspace:
    return Workspace.open(_together.snapshot.root)


def test_one_state_and_one_version_take_the_place_of_the_old(
    after: Workspace, together: Together
) -> None:
    assert merge_bytes(after) == together.one_by_one
    assert after.mlflow.reading.versions() == [2]
    assert current_state(after).state_seq == 2
    assert verify(after).members == len(FEW) - 2
    for name in together.names:
        report = report_of(after, name)
        assert report["removal"]["requests"] == together.names
        assert report["registered"]["version"] == 2
        assert report["quality"]["contributor"]["after"]
    with after.lineage.reader() as reader:
        assert reader.sql("SELECT * FROM digest_check WHERE NOT equal").rows == ()
        assert reader.sql("SELECT * FROM orphans").rows == ()
    assert after.dvc.record.status() == {}
    assert after.git.is_clean()


def test_a_remote_that_is_away_leaves_a_list_and_is_done_later(
    after: Workspace, together: Together
) -> None:
    assert "dvc-remote" in together.complaint
    assert "is empty" in together.complaint
    for row in together.pending:
        assert (row.state, row.next_step) == ("purging", "purged")
        assert {one.place for one in row.pending} == {"dvc-remote"}
        assert {"dataset", "merge_state"} >= {one.kind for one in row.pending} - {"vector", "mask"}
    for row in request_statuses(after):
        assert (row.state, row.pending) == ("reported", [])
    assert traces(after.root, together.needles) == {}


def test_what_was_planned_is_what_was_destroyed(after: Workspace, together: Together) -> None:
    assert together.changed_by_planning == set()
    for name, planned in together.plans.items():
        with after.lineage.reader() as reader:
            objects = reader.purge_objects(name)
        destroyed = {(row.place, row.kind, row.locator) for row in objects}
        wanted = {(one.place, one.kind, one.locator) for one in planned.objects}
        assert wanted == destroyed
        assert planned.bytes > 0
        assert set(planned.quality) == {"leaver", "retained", "change_by_opt_out"}
        json.dumps(planned.as_dict())
    by_twin = together.plans[together.names[1]]
    assert len(by_twin.kept_because_shared) == 2
    assert report_of(after, together.names[1])["kept_because_shared"] == by_twin.kept_because_shared


def test_whoever_received_the_model_is_to_be_told(together: Together) -> None:
    (row,) = together.told
    assert (row.recipient, row.purpose, row.version) == ("Partner Ltd", "pilot", 1)


def test_a_hold_stops_a_purge_that_has_begun(
    with_vectors: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Placed after the files went, it saves what is in DVC and MLflow."""
    from flows.erasure.steps import purged as purge

    removal = request(with_vectors, STAYER)
    key, recorded = removal.key, purge.record

    def record_then_hold(one: Workspace, message: str) -> str:
        head = recorded(one, message)
        with one.lineage.writer() as recorder:
            recorder.process.place_hold(key, "counsel", "case 7", datetime.now(UTC))
        return head

    monkeypatch.setattr(purge, "record", record_then_hold)
    with pytest.raises(SetAsideError, match="case 7"):
        run(with_vectors, [removal.request_id])
    assert with_vectors.mlflow.reading.versions() == [1, 2]
    with with_vectors.lineage.reader() as reader:
        objects = reader.purge_objects(removal.request_id)
    assert {row.place for row in objects if row.destroyed_at} == {"workspace"}
    assert with_vectors.dvc.objects.holders(
        [row.locator for row in objects if row.place == "dvc-cache"]
    )


TOGETHER = [
    Point("flows.erasure.steps.removed:make_current", "before"),
    Point("flows.erasure.steps.removed:make_current", "after"),
    Point("flows.erasure.request:Request.done", "before", "opt-out-0002"),
    Point("flows.erasure.steps.evaluated:evaluate_state", "after"),
    Point("flows.integrations.mlflow.registration:Registration.register", "after"),
    Point("flows.erasure.steps.purged:_plan", "after"),
    Point("flows.erasure.steps.purged:_forget_datasets", "after"),
    Point("flows.erasure.steps.purged:record", "after"),
    Point("flows.integrations.dvc.stored_objects:StoredObjects.destroy", "after", "dvc-cache"),
    Point("flows.erasure.targets.model_versions:ModelVersions.erase", "after"),
    Point("flows.integrations.dvc.stored_objects:StoredObjects.destroy", "after", "dvc-remote"),
    Point("flows.erasure.request:Request.done", "before", "purged"),
    Point("flows.evidence.certify:write_report", "after"),
    Point("flows.erasure.request:Request.done", "before", "reported"),
]


def run_all(root: Path) -> None:
    """Both requests of the test below."""
    run(Workspace.open(root), ["opt-out-0001", "opt-out-0002"])


@pytest.mark.slow
def test_two_who_leave_together_end_the_same_however_often_it_dies(
    with_vectors: Workspace, together: Together
) -> None:
    workspace = with_vectors
    for who in (LEAVER, TWIN):
        request(workspace, who)

    deaths = {str(point): dies(run_all, workspace.root, point) for point in TOGETHER}
    run_all(workspace.root)

    assert all(deaths.values()), deaths
    assert merge_bytes(workspace) == together.one_by_one
    assert workspace.mlflow.reading.versions() == [2]
    assert {row.state for row in request_statuses(workspace)} == {"reported"}
    assert traces(workspace.root, together.needles) == {}
    assert verify(workspace).passed
