"""`sift status --metrics`: a workspace in numbers, as OpenMetrics text, with no id of anybody.

Written for Prometheus' textfile collector; docs/how-to/operating-day-two.md has the example. All
numbers are read when they are asked for.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector

from flows.erasure.deadlines import due
from flows.erasure.status import request_statuses
from flows.erasure.tombstones.places import unknown
from flows.errors import FlowError
from flows.workspace.run_status import JOBS, last
from flows.workspace.workspace import Workspace
from lineage.opt_out import STEPS, UNFULFILLED

_STATES = (*STEPS, *sorted(UNFULFILLED), "on hold", "purging")
_STORES = {
    "data": ("data",),
    "vectors": ("vectors", ".sift/vectors"),
    "masks": ("masks",),
    "merge": ("merge",),
    "base": ("base",),
    "dvc_cache": (".dvc/cache",),
    "dvc_remote": ("remote",),
    "mlflow": ("mlflow.db", "mlruns"),
    "lineage": ("lineage.duckdb",),
    "reports": ("reports",),
    "logs": (".sift/logs",),
}
_QUARANTINE = Path(".sift") / "quarantine"


def exposition(workspace: Workspace) -> str:
    """The workspace's numbers as OpenMetrics text. Raises as the stores do."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers(workspace))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text.decode()


class _Numbers(Collector):
    """Asks the stores at each collection."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def describe(self) -> list[Metric]:
        """Nothing: registering asks no store."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        name = self._workspace.settings.model.name
        about = {"version": version("sift-masks"), "model": name}
        yield InfoMetricFamily("sift", "The release, and the model's name", value=about)
        yield from _stock(self._workspace)
        yield from _requests(self._workspace)
        yield from _jobs(self._workspace)
        yield from _disk(self._workspace)


def _stock(workspace: Workspace) -> Iterator[Metric]:
    with workspace.lineage.reader() as reader:
        state = reader.current_state()
        members = len(reader.members(state.state_seq)) if state else 0
        contributors = len(reader.current_datasets())
        versions = [row for row in reader.model_versions() if row.destroyed_at is None]
        champion = reader.champion(workspace.settings.model.name)
        backups = sum(row.destroyed_at is None for row in reader.process.backups())
        entries = reader.audit_head().seq
        rebuilt = reader.rebuild(state.state_seq) if state else None
    yield _one("sift_contributors", "Contributors with data", contributors)
    yield _one("sift_members", "Members of the current merge", members)
    alarm = state and rebuilt and rebuilt.rebuilt_sha256 != state.state_sha256
    yield _one("sift_rebuild_alarm", "1: the merge is not what an audit rebuilt", int(bool(alarm)))
    yield _one("sift_model_versions", "Registered versions that exist", len(versions))
    yield _one(
        "sift_champion_version", "The served version, 0: none", champion.version if champion else 0
    )
    yield _one("sift_backups", "Backups that exist as far as we know", backups)
    yield _one("sift_audit_log_entries", "Entries of the audit log", entries)
    folder = workspace.root / _QUARANTINE
    quarantined = len(list(folder.glob("*.json")))  # a reason beside each
    yield _one("sift_quarantined", "Objects of workers that were refused", quarantined)


def _requests(workspace: Workspace) -> Iterator[Metric]:
    states = Counter(row.state for row in request_statuses(workspace))
    by_state = GaugeMetricFamily("sift_requests", "Opt-out requests by state", labels=["state"])
    for state in _STATES:
        by_state.add_metric([state], states[state])
    yield by_state
    days = [row.days_left for row in due(workspace) if row.days_left is not None]
    nearest = GaugeMetricFamily(
        "sift_deadline_days", "Days to the nearest open deadline; none: no sample"
    )
    if days:
        nearest.add_metric([], min(days))
    yield nearest
    overdue = sum(row.state == "overdue" for row in due(workspace))
    yield _one("sift_deadlines_overdue", "Deadlines that have passed unmet", overdue)
    back = GaugeMetricFamily(
        "sift_brought_back", "Opt-outs that a restored backup has undone; not known: no sample"
    )
    with suppress(FlowError):  # where they are noted is away; `sift doctor` says so
        back.add_metric([], len(unknown(workspace)))
    yield back


def _jobs(workspace: Workspace) -> Iterator[Metric]:
    seconds = GaugeMetricFamily("sift_last_run_seconds", "How long the last took", labels=["job"])
    ended = GaugeMetricFamily(
        "sift_last_run_timestamp_seconds", "When the last ended", labels=["job"]
    )
    passed = GaugeMetricFamily("sift_last_run_passed", "1: it passed, 0: not", labels=["job"])
    for job in JOBS:
        ran = last(workspace, job)
        if ran is not None:
            seconds.add_metric([job], ran.seconds)
            ended.add_metric([job], ran.ended_at.timestamp())
            passed.add_metric([job], int(ran.passed))
    yield from (seconds, ended, passed)


def _disk(workspace: Workspace) -> Iterator[Metric]:
    sizes = GaugeMetricFamily("sift_store_bytes", "Bytes on disk by store", labels=["store"])
    for store, names in _STORES.items():
        sizes.add_metric([store], sum(_size(workspace.root / name) for name in names))
    yield sizes
    free = shutil.disk_usage(workspace.root).free
    yield _one("sift_free_bytes", "Free bytes on the workspace's disk", free)


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _one(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=value)
