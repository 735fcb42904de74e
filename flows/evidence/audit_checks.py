"""What an audit looks at: one list, and what was found."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from flows.erasure.targets import TARGETS, Needed, Scope
from flows.erasure.tombstones.places import unknown
from flows.errors import FlowError
from flows.evidence.anchors import anchors
from flows.evidence.attest import rebuild_and_attest
from flows.evidence.inventory import UNKNOWN, Stock
from flows.evidence.store_inventory import dvc_findings, mlflow_findings, report_findings
from flows.evidence.verification import verify
from lineage import Finding


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
            remedy="find the altered row by the query in docs/reference/cookbook.md.",
        )


def _departures(stock: Stock) -> Iterable[Finding]:
    for one in unknown(stock.workspace):
        yield Finding(
            where=f"departure {one.request_id} of {one.contributor_key}",
            found="it was carried out, and this workspace is older.",
            remedy="run `sift opt-out run`: it carries it out again.",
        )


def _erased(stock: Stock) -> Iterable[Finding]:
    """Look once more for every object that was ever destroyed for somebody."""
    with stock.workspace.lineage.reader() as reader:
        purged = [
            row
            for request in reader.requests()
            for row in reader.purge_objects(request.request_id)
            if row.absent_at is not None
        ]
    scope = Scope(stock.workspace, Needed(stock.workspace))
    for target in (kind(scope) for kind in TARGETS):
        own = {(row.place, row.locator): row for row in purged if row.place in target.labels}
        back = target.back() if own else ()
        for row in target.still_there(one for one in own.values() if one.locator not in back):
            yield Finding(
                where=f"{row.place} {row.locator}",
                found=f"it was destroyed for {row.request_id}, and is there again.",
                remedy=UNKNOWN,
            )


def _exactness(stock: Stock) -> Iterable[Finding]:
    if not stock.states:
        return
    for check in verify(stock.workspace).checks:
        if not check.passed:
            yield Finding(
                where=check.name, found=check.found, remedy="`sift verify` says what to do."
            )


def _rebuild(stock: Stock) -> Iterable[Finding]:
    rebuild_and_attest(stock.workspace)
    return ()


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
    "erased": ("Is everything that was destroyed still gone?", _erased),
    "reports": ("Has every finished request its report?", report_findings),
    "exactness": ("Is the merge what its members make, and served?", _exactness),
    "rebuild": ("Is a derived merge, added up anew, the same bytes?", _rebuild),
}
"""Name → what is asked, and the work; in the order in which they are made."""
