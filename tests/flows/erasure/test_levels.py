"""An opt-out says how far its merge is shown: derived, or rebuilt from who stays alone."""

from pathlib import Path

import pytest

from flows.evidence.certificates import certificates
from flows.evidence.verification import verify
from flows.workspace.keyring import Keys
from flows.workspace.workspace import Workspace
from lineage.certificates.chain import check_chain
from sift_core import block_reader
from tests.support.kept import LEAVER
from tests.support.workspaces import (
    another,
    change,
    merge_bytes,
    opt_out_plainly,
    report_of,
    request,
    served_sha256,
)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every canonical file that was opened."""
    paths: list[Path] = []
    start = block_reader.PieceReader.__init__

    def noted(self: block_reader.PieceReader, path: Path, sha256: str) -> None:
        paths.append(path)
        start(self, path, sha256)

    monkeypatch.setattr(block_reader.PieceReader, "__init__", noted)
    return paths


def vectors(read: list[Path]) -> set[str]:
    """Whose vectors were read."""
    return {path.name.split("-")[0] for path in read if path.parent.name == "vectors"}


def leave(workspace: Workspace) -> dict[str, object]:
    filed = request(workspace, LEAVER)
    opt_out_plainly(workspace.root)
    return report_of(workspace, filed.request_id)


def test_of_many_members_an_opt_out_reads_the_leavers_vector_alone(
    built: Workspace, read: list[Path], tmp_path: Path
) -> None:
    all_at_once = another(built.root, tmp_path / "rebuilt")
    few = change(built, "rebuild_up_to:", "rebuild_up_to: 5")

    derived = leave(few)
    assert vectors(read) == {few.key_of(LEAVER)}
    read.clear()
    rebuilt = leave(all_at_once)
    assert len(vectors(read)) == 12

    assert merge_bytes(few) == merge_bytes(all_at_once)
    assert served_sha256(few) == served_sha256(all_at_once)
    assert derived["verification"]["level"] == "derived"
    assert rebuilt["verification"]["level"] == "rebuilt"
    assert "not rebuilt" in derived["claimed"][0] and "not rebuilt" not in rebuilt["claimed"][0]
    assert derived["comparison"]["same_bytes"] is None
    assert "no model that never saw" in derived["audit"]["refused"]
    assert derived["repeat"][0] == "sift verify --rebuild"
    assert verify(few, "rebuild").level == "rebuilt"
    assert verify(few, "rebuild").passed


@pytest.mark.slow
def test_the_certificate_says_the_level_and_no_more(built: Workspace) -> None:
    few = change(built, "rebuild_up_to:", "rebuild_up_to: 5")
    leave(few)

    (link,) = check_chain(list(certificates(few).values()), Keys(few.root).ring())

    found = link.content.predicate.verification
    assert found is not None and found.level == "derived"
    assert not any("rebuilt from vectors" in check.name for check in found.checks)
    page = (few.reports / "opt-out-0001" / "report.html").read_text()
    assert "was derived by exact subtraction" in page
    assert "The merge was made afresh" not in page
