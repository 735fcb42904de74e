"""The `audit` flow: is everything as lineage says, and is lineage as it was written?

It reads all there is, changes nothing, and fails where anything was found; so it can be scheduled
and its failure watched for.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.deployments.runner import RunnerDeployment

from flows.erasure.tombstones.places import unknown
from flows.errors import FlowError
from flows.evidence.anchors import anchors
from flows.evidence.inventory import Stock
from flows.evidence.store_inventory import dvc_findings, mlflow_findings, report_findings
from flows.models.verify import verify
from flows.progress import tracked
from flows.ui.artifacts import showing_progress
from flows.ui.tasks import sift_task
from flows.workspace.run_status import noted
from flows.workspace.workspace import Workspace
from lineage import Finding, LineageError
from sift_core import SiftCoreError


@dataclass(frozen=True)
class AuditCheck:
    """One thing that was looked at, in words, and what was found wrong."""

    name: str
    question: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


@dataclass(frozen=True)
class Audit:
    """All checks of one audit."""

    checks: tuple[AuditCheck, ...]

    @property
    def findings(self) -> list[Finding]:
        """Everything that was found."""
        return [finding for check in self.checks for finding in check.findings]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "passed": not self.findings,
            "checks": [
                {
                    **asdict(check),
                    "passed": check.passed,
                    "findings": [finding.model_dump() for finding in check.findings],
                }
                for check in self.checks
            ],
        }


class AuditError(FlowError):
    """The audit found something; `audit` holds all of it."""

    def __init__(self, audit: Audit) -> None:
        self.audit = audit
        first = audit.findings[0]
        super().__init__(
            f"The audit found {len(audit.findings)}, first {first.where}: {first.found}",
            remedy=first.remedy,
        )


@flow(name="audit", flow_run_name="audit {workspace}")
def audit(workspace: Path) -> Audit:
    """Check a workspace: audit log, rows, files, DVC, MLflow, reports, and the merge to the bit.

    `workspace` is the folder that `sift init` made. Raises AuditError where anything was found.
    """
    return audit_workspace(Workspace.open(workspace), list(CHECKS))


def audit_workspace(place: Workspace, names: Sequence[str]) -> Audit:
    """Make these checks of a workspace, within a flow run. Raises AuditError on a finding."""
    with place.lock(), noted(place, "audit"), showing_progress("audit-progress", "Checks made"):
        stock = Stock(place)
        done = [look(stock, name) for name in tracked("Auditing", names, len(names))]
        found = Audit(tuple(done))
        _publish(found)
        if found.findings:
            raise AuditError(found)
    return found


@sift_task("audit check", tags=["exactness"], run_name="{name}")
def look(stock: Stock, name: str) -> AuditCheck:
    """Make one check; one that cannot be made has found why."""
    question, work = CHECKS[name]
    try:
        findings = tuple(work(stock))
    except (FlowError, SiftCoreError, LineageError) as error:
        findings = (Finding(where=name, found=error.facts, remedy=error.remedy),)
    return AuditCheck(name, question, findings)


def deployment(workspace: Path, cron: str) -> RunnerDeployment:
    """The audit of one workspace as a scheduled Prefect deployment, `cron` in UTC."""
    place = Workspace.open(workspace)
    return audit.to_deployment(  # type: ignore[return-value]
        name=f"audit of {place.settings.model.name}",
        cron=cron,
        parameters={"workspace": str(place.root)},
        tags=["sift"],
    )


def _log(check: str) -> Callable[[Stock], Iterable[Finding]]:
    def findings(stock: Stock) -> Iterable[Finding]:
        noted = anchors(stock.workspace) if check == "anchors" else ()
        with stock.workspace.lineage.reader() as reader:
            return reader.audit_findings(noted)[check]

    return findings


def _references(stock: Stock) -> Iterable[Finding]:
    with stock.workspace.lineage.reader() as reader:
        rows = reader.sql("SELECT table_name, column_name, value, missing_in FROM orphans").rows
    for table, column, value, missing_in in rows:
        yield Finding(
            where=f"{table}.{column}",
            found=f"{value} is not in {missing_in}.",
            remedy="restore the lineage store from a backup.",
        )


def _sums(stock: Stock) -> Iterable[Finding]:
    with stock.workspace.lineage.reader() as reader:
        rows = reader.sql(
            "SELECT state_seq, string_agg(lane, ', ' ORDER BY lane) FROM digest_check"
            " WHERE NOT equal GROUP BY state_seq ORDER BY state_seq"
        ).rows
    for state_seq, lanes in rows:
        yield Finding(
            where=f"merge state {state_seq}",
            found=f"lanes {lanes} of its members' digests do not sum to its own.",
            remedy="find the altered row by the query in docs/cookbook.md.",
        )


def _departures(stock: Stock) -> Iterable[Finding]:
    for one in unknown(stock.workspace):
        yield Finding(
            where=f"departure {one.request_id} of {one.contributor_key}",
            found="it was carried out, and this workspace is older.",
            remedy="run `sift opt-out run`: it carries it out again.",
        )


def _exactness(stock: Stock) -> Iterable[Finding]:
    if not stock.states:
        return
    for check in verify(stock.workspace).checks:
        if not check.passed:
            yield Finding(
                where=check.name, found=check.found, remedy="`sift verify` says what to do."
            )


CHECKS: dict[str, tuple[str, Callable[[Stock], Iterable[Finding]]]] = {
    "audit log": ("Is every entry as written, in its place?", _log("chain")),
    "anchors": (
        "Does the log hold every entry that commits and certificates name?",
        _log("anchors"),
    ),
    "rows": ("Does the log account for every row?", _log("rows")),
    "names": ("Is each id the one its key was made from?", Stock.names),
    "references": ("Does every reference lead somewhere?", _references),
    "sums": ("Is each merge the sum of its members?", _sums),
    "files": ("Are the files those that lineage knows?", Stock.files),
    "records": ("Are records those in the files?", Stock.records),
    "dvc": ("Do cache and remote hold what lineage says?", dvc_findings),
    "mlflow": ("Does MLflow hold what lineage says?", mlflow_findings),
    "departures": ("Is everybody gone who has left?", _departures),
    "reports": ("Has every finished request its report?", report_findings),
    "exactness": ("Is the merge, rebuilt, the same bytes?", _exactness),
}
"""Name → what is asked, and the work; in the order in which they are made."""


def _publish(found: Audit) -> None:
    create_table_artifact(
        key="audit",
        table=[
            {
                "check": check.name,
                "question": check.question,
                "result": "passed" if check.passed else f"{len(check.findings)} found",
            }
            for check in found.checks
        ],
        description="What was checked",
    )
    if found.findings:
        create_table_artifact(
            key="audit-findings",
            table=[finding.model_dump() for finding in found.findings],
            description="What was found",
        )
