"""The audit rebuilds a derived merge, attests that in the chain, and cries out where it differs."""

from dataclasses import replace
from pathlib import Path

import pytest

from flows.audit import look
from flows.evidence import attest
from flows.evidence.attest import rebuild_and_attest
from flows.evidence.certificates import (
    ATTESTATION,
    CERTIFICATE,
    certificates,
    check_certificates,
    rebuild_name,
)
from flows.evidence.inventory import Stock
from flows.evidence.proof import Material, prove
from flows.evidence.verification import verify
from flows.models import rebuild as sittings
from flows.models.checks import ExactnessError
from flows.models.rebuild import RebuiltOtherwiseError
from flows.workspace.current_state import current_state
from flows.workspace.keyring import Keys
from flows.workspace.workspace import Workspace
from lineage import RebuildRecord
from lineage.state_export import export_state
from tests.support.evidence import single_file_verifier
from tests.support.tidy import require_tidy
from tests.support.workspaces import (
    CONTRIBUTORS,
    build_plainly,
    change,
    opt_out_plainly,
    request,
)

NEXT = CONTRIBUTORS[5]


@pytest.fixture
def derived(left: Workspace) -> Workspace:
    """A workspace after an opt-out, whose merge is of more members than are rebuilt at once."""
    return change(left, "rebuild_up_to:", "rebuild_up_to: 5")


def attestation(workspace: Workspace) -> Path:
    name = rebuild_name(current_state(workspace).state_seq)
    return workspace.reports / name / ATTESTATION


def test_an_audit_attests_the_rebuild_and_the_chain_holds(built: Workspace, tmp_path: Path) -> None:
    derived = change(built, "rebuild_up_to:", "rebuild_up_to: 5")
    request(derived, NEXT)
    opt_out_plainly(derived.root)
    certificate = derived.reports / "opt-out-0001" / CERTIFICATE
    given = Material(Keys(derived.root).public_folder, chain=derived.reports)
    assert "no merge since was rebuilt" in found_by(certificate, given)["chain"]
    assert said_apart(derived) == "derived, not rebuilt yet"

    assert look.fn(Stock(derived), "rebuild").findings == ()

    first, second = check_certificates(derived)
    assert (first.sequence, second.sequence) == (1, 2)
    assert second.name == f"merge state {current_state(derived).state_seq}"
    assert "number 2 attests it" in found_by(certificate, given)["chain"]
    assert said_apart(derived) == "derived, rebuilt since by number 2"
    assert "certificate number 2 attests it" in verify(derived).checks[1].found
    assert not derived.rebuild.exists()
    require_tidy(derived, versions=[2])
    found = found_by(attestation(derived), all_there_is(derived, tmp_path))
    assert list(found) == ["signature", "lineage", "chain", "merge state", "vectors"]


def kill_before_it_records(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit that has signed its attestation dies."""

    def killed(*_: object, **__: object) -> RebuildRecord:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(attest, "RebuildRecord", killed)
        rebuild_and_attest(workspace)


def found_by(path: Path, given: Material) -> dict[str, str]:
    """What each level of a proof found; all of them passed, but for what has no material."""
    proof = prove(path, given)
    proof.require()
    return {one.name: one.found for one in proof.levels}


def said_apart(workspace: Workspace) -> str:
    """What the single-file verifier says of the first certificate."""
    apart = single_file_verifier()
    keys = apart.read_keys((Keys(workspace.root).public_folder / "0000.pem").read_bytes(), [])
    own = (workspace.reports / "opt-out-0001" / CERTIFICATE).read_bytes()
    return str(apart.check_chain(list(certificates(workspace).values()), keys, own))


def all_there_is(workspace: Workspace, folder: Path) -> Material:
    """What an attestation can be held against."""
    state = current_state(workspace)
    export = folder / "members.jsonl"
    with workspace.lineage.reader() as reader:
        export.write_bytes(export_state(reader, state.state_seq))
    return Material(
        Keys(workspace.root).public_folder,
        lineage=export,
        chain=workspace.reports,
        state=workspace.state_file(state.state_sha256),
        vectors=workspace.root,
    )


@pytest.mark.slow
def test_what_is_attested_is_not_rebuilt_again_and_a_new_merge_is(derived: Workspace) -> None:
    assert rebuild_and_attest(derived) is not None
    assert rebuild_and_attest(derived) is None

    request(derived, NEXT)
    opt_out_plainly(derived.root, "opt-out-0002")
    assert rebuild_and_attest(derived) is not None

    assert [link.sequence for link in check_certificates(derived)] == [1, 2, 3, 4]


@pytest.mark.slow
def test_an_audit_killed_before_it_recorded_is_ended_by_the_next(
    derived: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_before_it_records(derived, monkeypatch)
    written = attestation(derived).read_bytes()
    assert len(check_certificates(derived)) == 2  # it is signed, and about to be recorded

    rebuild_and_attest(derived)

    assert attestation(derived).read_bytes() == written
    with derived.lineage.reader() as reader:
        assert [row.sequence for row in reader.rebuilds()] == [2]


@pytest.mark.slow
def test_an_opt_out_after_a_killed_audit_follows_its_attestation(
    derived: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_before_it_records(derived, monkeypatch)
    request(derived, NEXT)
    opt_out_plainly(derived.root, "opt-out-0002")

    assert [link.sequence for link in check_certificates(derived)] == [1, 2, 3]


def test_a_merge_rebuilt_to_other_bytes_stops_everything_until_a_rebuild_says_otherwise(
    derived: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = sittings.rebuild
    with monkeypatch.context() as patch:
        patch.setattr(
            attest, "rebuild", lambda *given: replace(sound(*given), rebuilt_sha256="0" * 64)
        )
        (finding,) = look.fn(Stock(derived), "rebuild").findings
    assert finding.found.startswith("STOP.") and "out of service" in finding.remedy
    assert not attestation(derived).exists()
    assert "STOP." in next(c.found for c in verify(derived).checks if not c.passed)
    request(derived, NEXT)
    with pytest.raises(RebuiltOtherwiseError):
        opt_out_plainly(derived.root, "opt-out-0002")
    with pytest.raises(ExactnessError, match="STOP"):
        build_plainly(derived.root)
    assert derived.mlflow.reading.champion() == 2

    assert look.fn(Stock(derived), "rebuild").findings == ()

    assert attestation(derived).is_file()
    assert verify(derived).passed


def test_of_few_members_there_is_nothing_to_attest(built: Workspace) -> None:
    assert rebuild_and_attest(built) is None
    assert not built.rebuild.exists()
