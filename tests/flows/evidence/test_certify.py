"""An opt-out ends with one certificate, which holds at every level and against nothing else."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from model_signing import verifying as sigstore

from flows.errors import UsageError
from flows.evidence import certify
from flows.evidence.anchors import anchors
from flows.evidence.certificates import CERTIFICATE, certificates, check_certificates, head
from flows.evidence.certify import UnfitCertificateError, end_request
from flows.evidence.export import export
from flows.evidence.model_signature import sign_model
from flows.evidence.proof import Material, Proof, prove
from flows.evidence.verification import verify
from flows.opt_out import opt_out
from flows.ui.forms import OptOutForm
from flows.workspace.current_state import current_state
from flows.workspace.here import working_on
from flows.workspace.keyring import Keys, write_public
from flows.workspace.workspace import Workspace
from lineage.certificates.envelope import EvidenceError, KeyFileError
from lineage.state_export import export_state
from tests.support.damage import change_lineage, failed, flip_a_byte
from tests.support.departures import LEAVER, Departure
from tests.support.paths import ROOT
from tests.support.traces import traces
from tests.support.workspaces import request

REQUEST = "opt-out-0001"
LEVELS = (
    "signature",
    "report",
    "model folder",
    "lineage",
    "chain",
    "merge state",
    "served weights",
    "vectors",
)


def certificate(workspace: Workspace) -> Path:
    return workspace.reports / REQUEST / CERTIFICATE


def material(workspace: Workspace, outside: Path) -> Material:
    """All that an auditor can be given, as a copy outside of the workspace."""
    outside.mkdir()
    write_public(Keys(workspace.root), outside / "keys")
    export(workspace, outside / "model", None)
    state = current_state(workspace)
    with workspace.lineage.reader() as reader:
        (outside / "lineage.jsonl").write_bytes(export_state(reader, state.state_seq))
    for name in ("reports", "merge", "base", "vectors", "masks"):
        shutil.copytree(workspace.root / name, outside / name)
    return Material(
        key=outside / "keys",
        report=outside / "reports" / REQUEST,
        model=outside / "model",
        lineage=outside / "lineage.jsonl",
        chain=outside / "reports",
        state=outside / "merge" / f"{state.state_sha256}.safetensors",
        base=outside / "base",
        vectors=outside,
    )


def status(proof: Proof) -> dict[str, str]:
    return {level.name: level.status for level in proof.levels}


def forget_the_end(workspace: Workspace) -> None:
    """As a process leaves it that is killed before the last step is recorded."""
    change_lineage(workspace, "DELETE FROM opt_out_step WHERE step = 'reported'")


def test_the_certificate_of_an_opt_out_holds_at_every_level(
    left: Workspace, tmp_path: Path, departure: Departure
) -> None:
    proof = prove(certificate(left), material(left, tmp_path / "outside"))

    assert status(proof) == dict.fromkeys(LEVELS, "passed")
    assert proof.about == departure.result.request_id
    needles = {name: departure.needles[name] for name in ("id", "text")}
    assert traces(left.reports, needles) == traces(tmp_path / "outside", needles) == {}


def test_the_same_files_are_registered_with_the_version(
    left: Workspace, departure: Departure
) -> None:
    with left.lineage.reader() as reader:
        version = reader.model_version("films", departure.result.version or 0)
    folder = left.root / "mlruns" / version.mlflow_run_id / "artifacts" / "opt-outs" / REQUEST
    names = ("report.json", "report.html", CERTIFICATE)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    for name in names:
        assert (folder / name).read_bytes() == (left.reports / REQUEST / name).read_bytes()


HARM: dict[str, tuple[Callable[[Material], Path], set[str]]] = {
    "report.json": (lambda given: given.report / "report.json", {"report"}),
    "report.html": (lambda given: given.report / "report.html", {"report"}),
    "weights": (
        lambda given: given.model / "model.safetensors",
        {"model folder", "served weights"},
    ),
    "config": (lambda given: given.model / "config.json", {"model folder"}),
    "lineage": (lambda given: given.lineage, {"lineage", "vectors"}),
    "certificate": (lambda given: given.chain / REQUEST / CERTIFICATE, {"signature"}),
    "state": (lambda given: given.state, {"merge state", "served weights"}),
    "base": (lambda given: given.base / "model.safetensors", {"served weights"}),
    "vector": (lambda given: next((given.vectors / "vectors").iterdir()), {"vectors"}),
    "mask": (lambda given: next((given.vectors / "masks").iterdir()), {"vectors"}),
}


@pytest.fixture(scope="module")
def _given(departure: Departure, tmp_path_factory: pytest.TempPathFactory) -> Material:
    workspace = departure.snapshot.restore()
    return material(workspace, tmp_path_factory.mktemp("auditor") / "outside")


@pytest.mark.parametrize("harm", HARM)
def test_one_altered_byte_fails_its_own_levels(
    _given: Material, departure: Departure, harm: str
) -> None:
    find, levels = HARM[harm]
    assert _given.chain is not None
    path = find(_given)
    original = path.read_bytes()
    flip_a_byte(path)
    try:
        proof = prove(_given.chain / REQUEST / CERTIFICATE, _given)
    finally:
        path.write_bytes(original)

    assert {name for name, how in status(proof).items() if how == "FAILED"} == levels
    assert not proof.passed
    with pytest.raises(EvidenceError, match="failed"):
        proof.require()


def test_levels_without_material_are_not_checked_and_say_what_they_need(_given: Material) -> None:
    assert _given.chain is not None
    alone = Material(key=_given.key)
    proof = prove(_given.chain / REQUEST / CERTIFICATE, alone)

    assert status(proof) == {"signature": "passed"} | dict.fromkeys(LEVELS[1:], "not checked")
    assert proof.levels[-1].found == "give --lineage and --vectors"


def test_a_file_that_is_not_there_is_wrong_usage(_given: Material, tmp_path: Path) -> None:
    assert _given.chain is not None
    for wrong in (replace(_given, model=tmp_path / "no"), replace(_given, key=tmp_path / "no")):
        with pytest.raises(UsageError):
            prove(_given.chain / REQUEST / CERTIFICATE, wrong)


def test_checking_a_certificate_needs_neither_workspace_nor_the_heavy_libraries(
    _given: Material, tmp_path: Path
) -> None:
    """Run elsewhere, with what an auditor has; and the single file says the same."""
    assert _given.chain is not None
    path = _given.chain / REQUEST / CERTIFICATE
    options = ["--report", _given.report, "--model", _given.model, "--lineage", _given.lineage]
    code = (
        "import sys; from flows.cli import run; code = run(sys.argv[1:]);"
        "print(sorted({'torch', 'prefect', 'dvc', 'mlflow', 'transformers'} & set(sys.modules)));"
        "sys.exit(code)"
    )
    arguments = ["verify", path, "--key", _given.key, *options, "--chain", _given.chain]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"

    apart = [ROOT / "docs" / "verify_certificate.py", path, "--key", _given.key]
    done = subprocess.run(
        [sys.executable, "-I", *map(str, apart), *map(str, options)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "lineage: holds" in done.stdout and "chain: not given" in done.stdout


# ---- one certificate per request ---------------------------------------------------------------


def test_a_killed_end_is_finished_with_the_certificate_that_is_there(left: Workspace) -> None:
    before = certificates(left)
    report = (left.reports / REQUEST / "report.html").read_bytes()
    forget_the_end(left)

    ended = end_request(left, REQUEST)

    assert certificates(left) == before
    assert (left.reports / REQUEST / "report.html").read_bytes() == report
    assert (ended.sequence, ended.folder) == (1, left.reports / REQUEST)


def test_an_unrecorded_certificate_is_still_the_end_of_the_chain(left: Workspace) -> None:
    recorded = head(left)
    forget_the_end(left)
    assert head(left) == recorded
    assert recorded.sequence == 1


def test_what_a_killed_end_left_is_not_taken_when_altered(left: Workspace) -> None:
    forget_the_end(left)
    flip_a_byte(left.reports / REQUEST / "report.json")
    with pytest.raises(UnfitCertificateError, match=r"report\.json"):
        end_request(left, REQUEST)


def test_a_clock_that_was_set_back_dates_nothing_before_the_request(
    left: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Past(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) - timedelta(days=400)

    with left.lineage.reader() as reader:
        received = reader.request(REQUEST).received_at
    forget_the_end(left)
    certificate(left).unlink()
    monkeypatch.setattr(certify, "datetime", Past)

    assert end_request(left, REQUEST).at == received


def test_without_a_key_nothing_is_removed(built: Workspace) -> None:
    removal = request(built, LEAVER)
    Keys(built.root).signing_file.unlink()

    form = OptOutForm(requests=[removal.request_id], ask_for_approval=False)
    with pytest.raises(KeyFileError, match="is lost"), working_on(built):
        opt_out.fn(form)

    assert removal.next_step() == "removed"


# ---- the workspace's own check -----------------------------------------------------------------


def test_certificates_are_among_the_checks_of_a_workspace(left: Workspace) -> None:
    assert verify(left).passed
    assert [link.sequence for link in check_certificates(left)] == [1]


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (lambda path: path.unlink(), "is missing"),
        (flip_a_byte, "as lineage recorded"),
        (lambda path: flip_a_byte(path.with_name("report.html")), "report.html"),
        (lambda path: shutil.copytree(path.parent, path.parents[1] / "more"), "not known"),
    ],
)
def test_a_lost_altered_or_added_certificate_is_found(
    left: Workspace, harm: Callable[[Path], None], found: str
) -> None:
    harm(certificate(left))
    assert found in failed(verify(left))["certificates"]


def test_a_certificate_anchors_the_audit_log(left: Workspace) -> None:
    """Cut off behind the purge, the log no longer reaches the entry that was signed."""
    noted = next(anchor for anchor in anchors(left) if anchor.source == "certificate 1")
    with left.lineage.reader() as reader:
        assert reader.audit_findings([noted])["anchors"] == []
        assert noted.seq == reader.audit_head().seq - 1  # the step `reported` came after it

    change_lineage(left, f"DELETE FROM audit_entry WHERE seq >= {noted.seq}")

    with left.lineage.reader() as reader:
        (finding,) = reader.audit_findings([noted])["anchors"]
    assert "certificate 1" in finding.found and "cut off" in finding.found


# ---- exported folders --------------------------------------------------------------------------


def test_sigstore_s_own_verifier_accepts_a_signed_folder_and_no_altered_one(
    left: Workspace, tmp_path: Path
) -> None:
    folder, _ = export(left, tmp_path / "model", None)
    signature = sign_model(left, folder)
    write_public(Keys(left.root), tmp_path / "keys")

    def check() -> None:
        config = sigstore.Config().use_elliptic_key_verifier(
            public_key=tmp_path / "keys" / "model.pem"
        )
        config.verify(folder, signature)

    check()
    assert signature == tmp_path / "model.sig"
    flip_a_byte(folder / "model.safetensors")
    with pytest.raises(ValueError, match="Signature mismatch"):
        check()
