"""Workspaces that earlier releases wrote stay readable, verifiable, buildable and opt-out-able.

Each archive in `tests/support/releases/` was written by the code of its release
(`tests/support/releases/make.py`) and is never written again. `before-counts` is older than the
first release, its merge states and results of steps: of it, the lineage store is what is upgraded.
"""

import tarfile
from pathlib import Path

import pytest

from flows.erasure.approvals import approve
from flows.evidence.audit_checks import CHECKS
from flows.evidence.certificates import check_certificates
from flows.evidence.export import export
from flows.evidence.inventory import Stock
from flows.evidence.verification import verify
from flows.operations.relocation import settle_move
from flows.workspace.workspace import Workspace
from lineage import LineageSchemaError, schema
from tests.support.releases import make
from tests.support.sift import Sift
from tests.support.traces import traces
from tests.support.workspaces import (
    OFFICER,
    add,
    build_plainly,
    marker,
    opt_out_plainly,
    report_of,
    reviews,
)

ARCHIVES = Path(make.__file__).parent
OLDEST = ARCHIVES / "before-counts.tar.xz"
RELEASES = sorted(set(ARCHIVES.glob("*.tar.xz")) - {OLDEST})


def unpacked(archive: Path, folder: Path) -> Path:
    """The workspace of a release at another place than it was written at."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    root = folder / "films"
    (root / ".sift" / "tmp").mkdir(exist_ok=True)
    for private in (root / ".sift" / "secret.key", *(root / ".sift" / "keys").glob("*.pem")):
        private.chmod(0o600)
    settle_move(root, make.MOVED_FROM)
    return root


@pytest.fixture(params=RELEASES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    return Workspace.open(unpacked(request.param, tmp_path))


@pytest.fixture
def oldest(tmp_path: Path) -> Workspace:
    return Workspace.open(unpacked(OLDEST, tmp_path))


def test_there_is_a_workspace_of_the_first_release() -> None:
    assert "0.1.0.tar.xz" in [path.name for path in RELEASES]


def test_a_store_of_an_older_release_is_upgraded_by_whoever_changes_it(
    oldest: Workspace,
    sift: Sift,
) -> None:
    with (
        pytest.raises(LineageSchemaError, match=r"12 of the \d+ migrations.*sift upgrade"),
        oldest.lineage.reader(),
    ):
        pass
    ended = sift("status", "-w", oldest.root)
    ended.refused(1, "sift upgrade")

    said = sift("upgrade", "--json", "-w", oldest.root).json
    assert said["event"] == "migrated"
    again = sift("upgrade", "--json", "-w", oldest.root).json
    assert again == said

    with oldest.lineage.reader() as reader:
        assert (
            len(schema.migrations())
            == reader.sql("SELECT count(*) FROM schema_migration").rows[0][0]
        )
        assert {row.external_id for row in reader.contributors()} == {*make.STAYERS, None}
        assert [row.request_id for row in reader.requests()] == ["opt-out-0001", "opt-out-0002"]
    assert report_of(oldest, "opt-out-0001")["contributor_key"] == oldest.key_of(make.LEAVER)


@pytest.mark.slow
def test_an_old_workspace_is_verified_audited_built_on_and_opted_out_of(
    old: Workspace, tmp_path: Path
) -> None:
    with old.lock():
        pass
    assert verify(old).passed
    findings = {name: list(look(Stock(old))) for name, (_, look) in CHECKS.items()}
    assert {name: found for name, found in findings.items() if found} == {}
    _, sha256 = export(old, tmp_path / "export", None)
    with old.lineage.reader() as reader:
        champion = reader.champion("films")
    assert champion is not None and champion.served_sha256 == sha256

    add(old, reviews("newcomer"))
    build_plainly(old.root)
    assert verify(old).members == 3 and verify(old).passed

    leaver = make.STAYERS[1]
    approve(old, "opt-out-0002", OFFICER, "identity proven")
    opt_out_plainly(old.root, "opt-out-0002")

    assert verify(old).members == 2 and verify(old).passed
    assert traces(old.root, {"id": leaver.encode(), "text": marker(leaver).encode()}) == {}
    assert len(check_certificates(old)) == 2
    findings = {name: list(look(Stock(old))) for name, (_, look) in CHECKS.items()}
    assert {name: found for name, found in findings.items() if found} == {}
