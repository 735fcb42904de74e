"""The `opt_out` flow: one request through its steps, from wherever it stands to its end.

The order of the steps is lineage's (`lineage.opt_out.STEPS`); here each gets its work.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.certificates import require_signing_key
from flows.certifying import end_request
from flows.progress import tracked
from flows.purging import purge
from flows.removal import Removal
from flows.reporting import read_report
from flows.tasks import sift_task
from flows.workspace import Workspace
from lineage import opt_out as steps


@dataclass(frozen=True)
class OptOutResult:
    """How a request ended."""

    request_id: str
    report: Path
    version: int | None
    contributor_key: str
    removal: dict[str, Any]
    quality: dict[str, Any]
    destroyed: int
    records: int | None
    """How many records were withdrawn; None: the contributor with all data."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _report(removal: Removal) -> None:
    # Written before their step is recorded, and list it: a report that exists is whole.
    ended = end_request(removal.workspace, removal.request_id)
    details = {
        "folder": f"reports/{removal.request_id}",
        "certificate": ended.sha256,
        "sequence": ended.sequence,
    }
    removal.done("reported", details, ended.at)


WORK: dict[str, Callable[[Removal], None]] = {
    "identified": Removal.identify,
    "removed": Removal.remove,
    "verified": Removal.verify,
    "evaluated": Removal.evaluate,
    "registered": Removal.register,
    "purged": purge,
    "reported": _report,
}


@flow(name="opt-out", flow_run_name="opt-out {request_id}")
def opt_out(workspace: Path, request_id: str) -> OptOutResult:
    """Honour one opt-out request; a request that was interrupted goes on where it stopped.

    `workspace` is the folder that `sift init` made, `request_id` a request filed with
    `sift opt-out request`.
    """
    place = Workspace.open(workspace)
    removal = Removal(place, request_id)
    require_signing_key(place)
    with place.lock():
        first = removal.next_step()
        remaining = steps.STEPS[steps.STEPS.index(first) :] if first else ()
        for step in tracked("Opting out", remaining, len(remaining)):
            take_step(removal, step)
    return _publish(removal)


@sift_task("opt-out step", tags=["exactness"], retries=2, run_name="{step}")
def take_step(removal: Removal, step: str) -> None:
    """Do one step and record it."""
    WORK[step](removal)


def _publish(removal: Removal) -> OptOutResult:
    report = read_report(removal.workspace, removal.request_id)
    create_table_artifact(
        key="destroyed",
        table=report["destroyed"],
        description=f"Destroyed for {removal.request_id}, each looked for again",
    )
    folder = removal.workspace.reports / removal.request_id
    create_markdown_artifact(
        key="opt-out-summary",
        markdown="\n".join(
            [
                f"# {removal.request_id}",
                f"Contributor `{report['contributor_key']}`, {_scope(report['records'])}, basis "
                f"{report['basis']}.",
                "",
                "| step | done at |",
                "| --- | --- |",
                *(f"| {moment['step']} | {moment['at']} |" for moment in report["timeline"]),
                "",
                f"Report: `{folder / 'report.html'}`",
            ]
        ),
        description="What this opt-out did",
    )
    return OptOutResult(
        request_id=removal.request_id,
        report=folder / "report.html",
        version=(report["registered"] or {}).get("version"),
        contributor_key=report["contributor_key"],
        removal=report["removal"],
        quality=report["quality"] or {},
        destroyed=len(report["destroyed"]),
        records=report["records"],
    )


def _scope(records: int | None) -> str:
    return "with all data" if records is None else f"{records} of their records"
