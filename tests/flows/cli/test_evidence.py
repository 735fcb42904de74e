"""Checking certificates and looking after keys, as commands."""

from pathlib import Path

import pytest

from flows.workspace.workspace import Workspace
from tests.support.evidence import SIGNER, case, signing_key
from tests.support.sift import Sift


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a certificate, its files and the issuer's key, and no workspace."""
    monkeypatch.chdir(tmp_path)
    folder = case().write(tmp_path / "case").parent
    (folder / "public").mkdir()
    (folder / "public" / "0000.pem").write_bytes(SIGNER.public.pem)
    return folder


def test_a_certificate_that_holds_is_a_table_and_exit_code_0(sift: Sift, given: Path) -> None:
    arguments = ["verify", given / "certificate.dsse.json", "--key", given / "public"]
    ended = sift(*arguments, "--model", given / "model")

    assert (ended.code, ended.err) == (0, "")
    assert "opt-out-0001" in ended.out and "not checked" in ended.out
    found = sift(*arguments, "--lineage", given / "lineage.jsonl", "--json").json
    status = {level["name"]: level["status"] for level in found["levels"]}
    assert status["signature"] == status["report"] == status["lineage"] == "passed"
    assert status["model folder"] == "not checked"
    assert found["passed"] is True


def test_a_level_that_fails_is_shown_and_is_exit_code_1(sift: Sift, given: Path) -> None:
    (given / "report.html").write_text("another page")
    ended = sift("verify", given / "certificate.dsse.json", "--key", given / "public")

    assert ended.code == 1 and "FAILED" in ended.out
    ended.complained("Level 'report' failed", "report.html")


def test_another_key_is_exit_code_1_and_nothing_else_is_checked(sift: Sift, given: Path) -> None:
    (given / "public" / "0000.pem").write_bytes(signing_key(9).public.pem)
    arguments = ["verify", given / "certificate.dsse.json", "--key", given / "public"]
    ended = sift(*arguments, "--json")

    assert ended.code == 1
    assert [level["status"] for level in ended.json["levels"]] == ["FAILED"] + 7 * ["not checked"]
    assert ended.json["about"] is None


def test_wrong_usage_is_exit_code_2(sift: Sift, given: Path) -> None:
    certificate, key = given / "certificate.dsse.json", given / "public"
    sift("verify", certificate).refused(2, "No public key is given", "--key")
    sift("verify", certificate, "--key", given / "no").refused(2, "There is no")
    sift("verify", certificate, "--key", key / "0000.pem").refused(2, "with the key records")
    (key / "0000.pem").write_text("no key")
    sift("verify", certificate, "--key", key).refused(2, "not an Ed25519 public key")
    sift("verify", "--key", key).refused(2, "belong to a certificate")
    for way in ("--rebuild", "--rederive"):
        sift("verify", certificate, "--key", key, way).refused(2, "need a workspace")
    sift("verify", "--rebuild", "--rederive").refused(2, "two ways to rebuild")
    sift("keys", "show").refused(2, "is not a workspace")


def test_keys_are_shown_replaced_and_handed_over(
    sift: Sift, fresh: Workspace, tmp_path: Path
) -> None:
    here = ["--workspace", fresh.root]
    first = sift("keys", "show", "--json", *here).json
    assert [key["first_certificate"] for key in first["keys"]] == [1]
    assert len(first["model_keys"]) == 1

    second = sift("keys", "rotate", "--json", *here).json
    assert second["keys"][0]["key_id"] == first["keys"][0]["key_id"]
    assert second["keys"][0]["last_certificate"] == 0
    ended = sift("keys", "show", "--out", tmp_path / "public", *here)
    assert "BEGIN PUBLIC KEY" in ended.out and "PRIVATE" not in ended.out
    assert (tmp_path / "public" / "0000.pem").read_text() == first["keys"][0]["pem"]
    sift("keys", "show", "--out", tmp_path / "public", *here).refused(2, "is not empty")
    sift("keys", "init", *here).refused(2, "has its keys already")


def test_an_export_needs_a_merge_and_a_new_file(
    sift: Sift, fresh: Workspace, tmp_path: Path
) -> None:
    here = ["--workspace", fresh.root]
    sift("lineage", "export", tmp_path / "new.jsonl", *here).refused(2, "no merge state yet")
    sift("lineage", "export", tmp_path / "n.jsonl", "--state", 3, *here).refused(2, "state 3")
    (tmp_path / "old.jsonl").write_text("")
    sift("lineage", "export", tmp_path / "old.jsonl", *here).refused(2, "exists already")
    assert not (tmp_path / "new.jsonl").exists()
