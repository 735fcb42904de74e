"""The `audit` flow: is everything as lineage says, and is lineage as it was written?

It reads all there is and fails where anything was found; so it can be scheduled and its failure
watched for. It changes nothing, but for the attestation that a derived merge was rebuilt.
"""

from flows.errors import FlowError
from flows.evidence.audit_checks import CHECKS, Audit, AuditCheck, AuditError
from flows.evidence.inventory import Stock
from flows.progress import tracked
from flows.ui.artifacts import show_table, showing_progress
from flows.ui.audit_form import AuditForm
from flows.ui.tasks import sift_flow, sift_task
from flows.workspace.here import here
from flows.workspace.run_status import noted
from lineage import Finding, LineageError
from sift_core import SiftCoreError


@sift_flow("audit", "audit")
def audit(form: AuditForm = AuditForm()) -> Audit:  # noqa: B008  Prefect reads it from here
    """Check audit log, rows, files, DVC, MLflow, reports, and the merge to the bit.

    Raises AuditError where anything was found.
    """
    workspace, names = here(), form.checks
    with (
        workspace.lock(),
        noted(workspace, "audit"),
        showing_progress("audit-progress", "Checks made"),
    ):
        stock = Stock(workspace)
        found = Audit(tuple(look(stock, name) for name in tracked("Auditing", names, len(names))))
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


def _publish(found: Audit) -> None:
    show_table(
        "audit",
        [
            {
                "check": check.name,
                "question": check.question,
                "result": "passed" if check.passed else f"{len(check.findings)} found",
            }
            for check in found.checks
        ],
        "What was checked",
    )
    if found.findings:
        show_table(
            "audit-findings", [finding.model_dump() for finding in found.findings], "What was found"
        )
