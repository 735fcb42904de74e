"""`sift audit` runs the flow: a table for people, JSON for machines, exit code 1 on a finding."""

import json

from flows.evidence.audit_checks import CHECKS
from flows.workspace.workspace import Workspace
from tests.support.damage import flip_a_byte, vector_file
from tests.support.prefect_runs import artifacts, last_run
from tests.support.sift import Sift


def test_what_was_found_is_printed_kept_as_artifacts_and_an_error(
    built: Workspace, sift: Sift, prefect_server: None
) -> None:
    passed = sift("audit", "--workspace", built.root)
    assert (passed.code, passed.err) == (0, "")
    assert passed.out.count("passed") == len(CHECKS)

    flip_a_byte(vector_file(built))
    ended = sift("audit", "--workspace", built.root, "--json")

    assert ended.code == 1
    ended.complained("The audit found 2, first vectors/", "dvc checkout")
    checks = {check["name"]: check for check in ended.json["checks"]}
    assert [name for name, check in checks.items() if not check["passed"]] == ["files", "exactness"]
    (finding,) = checks["files"]["findings"]
    assert finding["where"].startswith("vectors/")
    table = artifacts(last_run())["audit-findings"]
    assert finding in json.loads(str(table.data))
