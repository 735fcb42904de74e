"""Harm done to a workspace: files and rows that are not as they were written."""

from pathlib import Path

import duckdb

from flows.audit import look
from flows.evidence.audit_checks import CHECKS, Audit
from flows.evidence.inventory import Stock
from flows.models.checks import Verification
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from lineage import Member


def failed(verification: Verification) -> dict[str, str]:
    """What failed, and what was found there."""
    return {check.name: check.found for check in verification.checks if not check.passed}


def member(workspace: Workspace) -> Member:
    """Some member of the current state."""
    with workspace.lineage.reader() as reader:
        return reader.members(current_state(workspace).state_seq)[0]


def vector_file(workspace: Workspace) -> Path:
    """The vector of that member."""
    return workspace.vector_file(member(workspace).contributor_key, member(workspace).vector_sha256)


def flip_a_byte(path: Path) -> None:
    """Change the last byte of a file: of a number, not of a header."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def change_lineage(workspace: Workspace, sql: str) -> None:
    """Change the store behind its own back, as someone with the file could."""
    with duckdb.connect(str(workspace.root / "lineage.duckdb")) as connection:
        connection.execute(sql)


def found(workspace: Workspace) -> dict[str, list[str]]:
    """Check → where, of all that was found."""
    return {
        check.name: [finding.where for finding in check.findings]
        for check in audited(workspace).checks
        if check.findings
    }


def audited(workspace: Workspace) -> Audit:
    """All checks, without Prefect."""
    return Audit(tuple(look.fn(Stock(workspace), name) for name in CHECKS))
