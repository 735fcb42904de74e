"""`sift audit`: is everything as lineage says?"""

from pathlib import Path

import typer

from flows.cli.app import JsonOption, WorkspaceOption, example
from flows.cli.progress import progress
from flows.cli.render import print_json, print_table

app = typer.Typer()


@app.command(epilog=example("sift audit", "sift audit --json"))
def audit(
    folder: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Check the audit log, every row, file and object, and the merge; exit 1 on a finding."""
    from flows.workspace.prefect_home import keep_prefect_inside
    from flows.workspace.workspace import Workspace

    workspace = Workspace.open(folder)
    keep_prefect_inside(workspace.root)
    from flows.audit import audit as flow
    from flows.evidence.audit_checks import AuditError
    from flows.workspace.here import working_on

    failed = None
    with progress(quiet=json), working_on(workspace):
        try:
            found = flow()
        except AuditError as error:
            found, failed = error.audit, error
    if json:
        print_json(found.as_dict())
    else:
        print_table(
            "Audit",
            ["check", "question", "found"],
            [(c.name, c.question, _result(len(c.findings))) for c in found.checks],
            right=3,
        )
        if found.findings:
            print_table(
                "Findings",
                ["where", "found", "remedy"],
                [(one.where, one.found, one.remedy) for one in found.findings],
                right=3,
            )
    if failed is not None:
        raise failed  # the first finding in one line, exit code 1


def _result(findings: int) -> str:
    return "passed" if findings == 0 else f"FAILED: {findings}"
