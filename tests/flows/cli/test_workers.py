"""`sift workers`: what a person reads."""

from pathlib import Path

from flows.training.workers.checks import refused
from flows.training.workers.errors import DigestError
from flows.training.workers.quarantine import quarantine
from flows.workspace.workspace import Workspace
from tests.support.sift import Sift


def test_what_is_in_quarantine_is_listed_with_its_reason(
    fresh: Workspace, sift: Sift, tmp_path: Path
) -> None:
    key = fresh.key_of("ann")
    assert sift("workers", "quarantine", "--check", "-w", fresh.root).code == 0
    (tmp_path / "v").write_bytes(b"whatever")
    why = refused(DigestError, "The linear digest is not that of the vector.")
    quarantine(fresh, key, {"vector": tmp_path / "v"}, why, "0c0c0c0c-run")

    (row,) = sift("workers", "quarantine", "-w", fresh.root, "--json").json["quarantined"]
    assert (row["contributor_key"], row["reason"], row["bytes"]) == (key, "DigestError", 8)
    table = sift("workers", "quarantine", "-w", fresh.root)
    assert table.code == 0 and "DigestError" in table.out and key[:12] in table.out
    checked = sift("workers", "quarantine", "--check", "-w", fresh.root)
    assert checked.code == 1
    checked.complained("In quarantine: 1", "DigestError")


def test_a_pool_without_a_server_that_workers_could_reach_is_refused(sift: Sift) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        ended = sift("workers", "register", "gpu")
    ended.refused(2, "There is no Prefect server", "PREFECT_API_URL")


def test_a_server_that_does_not_answer_is_named(sift: Sift) -> None:
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    settings = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(settings):
        ended = sift("workers", "register", "gpu")
    ended.refused(2, "The Prefect server does not answer")
