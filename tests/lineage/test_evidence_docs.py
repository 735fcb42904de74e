"""docs/how-to/evidence.md and the single-file verifier say and do what the code does."""

import ast
import subprocess
import sys
from pathlib import Path

from lineage.certificates.statement import Certificate
from tests.support.evidence import ROOT, SIGNER, case
from tests.support.pages import blocks

DOCS = (ROOT / "docs/how-to/evidence.md").read_text(encoding="utf-8")
SINGLE_FILE = ROOT / "docs" / "verify_certificate.py"


def test_a_certificate_can_be_checked_by_hand_with_openssl(tmp_path: Path) -> None:
    folder = case().write(tmp_path / "case").parent
    (folder / "0000.pem").write_bytes(SIGNER.public.pem)
    (block,) = blocks(DOCS, "bash")

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block], cwd=folder, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    verdict, key_id, *digests = done.stdout.splitlines()
    assert verdict == "Signature Verified Successfully"
    assert key_id.split()[0] == SIGNER.public.key_id
    payload = (folder / "payload.json").read_text()
    assert len(digests) == 3
    assert all(f'"{line.split()[0]}"' in payload for line in digests)


def test_every_field_of_the_predicate_is_described() -> None:
    page = (ROOT / "docs/reference/certificate.md").read_text(encoding="utf-8")
    assert [name for name in Certificate.model_fields if f"| `{name}` |" not in page] == []


def test_the_single_file_is_short_and_needs_little() -> None:
    text = SINGLE_FILE.read_text(encoding="utf-8")
    names = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert len(text.splitlines()) <= 320
    assert names - sys.stdlib_module_names == {"cryptography"}


def test_the_single_file_works_as_a_program(tmp_path: Path) -> None:
    path = case().write(tmp_path / "case")
    key = tmp_path / "public"
    key.mkdir()
    (key / "0000.pem").write_bytes(SIGNER.public.pem)
    command = [sys.executable, "-I", str(SINGLE_FILE), str(path), "--key", str(key)]
    command += ["--report", str(path.parent), "--model", str(path.parent / "model")]

    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "report: holds" in done.stdout and "chain: not given, not checked" in done.stdout

    (path.parent / "report.json").write_bytes(b"{}\n")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "REFUSED: report.json is not the certified bytes\n"
