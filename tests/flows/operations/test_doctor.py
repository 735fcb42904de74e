"""Each kind of damage is found, named, and comes with what mends it."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.operations.backup.backup import make_backup
from flows.operations.doctor import machine
from flows.operations.doctor.checks import examine
from flows.operations.doctor.diagnosis import Diagnosis, UnfitError, require_fit
from flows.workspace.server_key import key_path, server_key
from flows.workspace.workspace import Workspace
from tests.support.sift import Sift
from tests.support.workspaces import request


def of(found: list[Diagnosis], check: str) -> Diagnosis:
    """What one check said, the worst where it said several things."""
    order = ("ok", "warning", "failed")
    return max((one for one in found if one.check == check), key=lambda o: order.index(o.status))


def test_a_sound_workspace_passes_every_check(fresh: Workspace) -> None:
    found = examine(fresh)

    assert {one.check: one.found for one in found if one.status != "ok"} == {}
    assert len({one.check for one in found}) == 18
    require_fit(found)


@pytest.mark.slow
def test_a_sound_built_workspace_passes_every_check(with_vectors: Workspace) -> None:
    assert {one.check: one.found for one in examine(with_vectors) if one.status != "ok"} == {}


@pytest.mark.slow
def test_a_model_that_is_not_where_its_row_says_is_told(with_vectors: Workspace) -> None:
    shutil.rmtree(with_vectors.mlflow.reading.served_folder(1))

    assert "restore mlruns/" in of(examine(with_vectors), "mlflow").remedy


def secret_open(workspace: Workspace) -> None:
    (workspace.root / ".sift" / "secret.key").chmod(0o644)


def server_key_open(workspace: Workspace) -> None:
    server_key(workspace.root)
    key_path(workspace.root).chmod(0o640)


def secret_gone(workspace: Workspace) -> None:
    (workspace.root / ".sift" / "secret.key").unlink()


def secret_in_git(workspace: Workspace) -> None:
    subprocess.run(["git", "add", "-f", ".sift/secret.key"], cwd=workspace.root, check=True)


def signing_key_gone(workspace: Workspace) -> None:
    (workspace.root / ".sift" / "keys" / "signing.pem").unlink()


def another_model_key(workspace: Workspace) -> None:
    keys = workspace.root / ".sift" / "keys"
    shutil.copyfile(keys / "signing.pem", keys / "model.pem")


def lineage_altered(workspace: Workspace) -> None:
    import duckdb

    with duckdb.connect(str(workspace.lineage.path)) as connection:
        connection.execute("UPDATE contributor SET added_at = added_at + INTERVAL 1 DAY")


def lineage_no_database(workspace: Workspace) -> None:
    workspace.lineage.path.write_bytes(b"no database")


def mlflow_no_database(workspace: Workspace) -> None:
    (workspace.root / "mlflow.db").write_bytes(b"no database, and long enough to be looked at" * 40)


def clock_behind(workspace: Workspace) -> None:
    later = 2_000_000_000
    os.utime(workspace.lineage.path, (later, later))


def no_identity(workspace: Workspace) -> None:
    for name in ("user.name", "user.email"):
        subprocess.run(["git", "config", "--unset", name], cwd=workspace.root, check=True)


def remote_away(workspace: Workspace) -> None:
    (workspace.root / ".sift" / "pushed-to").write_text(workspace.dvc.remote.url())
    shutil.rmtree(workspace.root / "remote", ignore_errors=True)


def unfinished(workspace: Workspace) -> None:
    (workspace.data / ".writing-abc").write_text("half a file")


def killed_git(workspace: Workspace) -> None:
    (workspace.root / ".git" / "index.lock").touch()


def folder_gone(workspace: Workspace) -> None:
    shutil.rmtree(workspace.masks)


def open_to_all(workspace: Workspace) -> None:
    workspace.root.chmod(0o777)


def backup_lost(workspace: Workspace) -> None:
    make_backup(workspace, workspace.root.with_name("monday.sift")).file.unlink()


def older_workspace(workspace: Workspace) -> None:
    """Its lineage knows nothing of an opt-out that is noted in the remote."""
    from flows.erasure.tombstones.places import note

    kept = workspace.root.with_name("kept.duckdb")
    shutil.copyfile(workspace.lineage.path, kept)
    note(workspace, [request(workspace, "ann").request_id])
    kept.replace(workspace.lineage.path)


DAMAGES: list[tuple[Callable[[Workspace], None], str, str, str]] = [
    (secret_open, "keys", "failed", "chmod 600"),
    (server_key_open, "keys", "failed", "end `sift up`, delete it, start it again"),
    (secret_gone, "keys", "failed", "restore it from a backup"),
    (secret_in_git, "keys", "failed", "git rm --cached .sift/secret.key"),
    (signing_key_gone, "keys", "failed", "SIFT_SIGNING_KEY"),
    (another_model_key, "keys", "failed", "keys"),
    (lineage_altered, "lineage", "failed", "backup"),
    (lineage_no_database, "lineage", "failed", "restore the file from a backup"),
    (mlflow_no_database, "mlflow", "failed", "restore it from a backup"),
    (clock_behind, "clock", "failed", "NTP"),
    (no_identity, "git", "failed", "config --local user.name"),
    (remote_away, "dvc", "failed", "mount or connect"),
    (unfinished, "leftovers", "warning", "sift build"),
    (killed_git, "leftovers", "failed", "index.lock"),
    (folder_gone, "permissions", "failed", "restore it from a backup"),
    (open_to_all, "permissions", "warning", "chmod o-w"),
    (backup_lost, "backups", "warning", "sift backup destroy backup-0001"),
    (older_workspace, "departures", "failed", "sift opt-out run"),
]


@pytest.mark.parametrize(
    "damage, check, status, remedy",
    [
        pytest.param(*row, id=row[0].__name__, marks=[pytest.mark.slow] if number % 6 else [])
        for number, row in enumerate(DAMAGES)
    ],
)
def test_damage_is_found_and_comes_with_what_mends_it(
    fresh: Workspace,
    damage: Callable[[Workspace], None],
    check: str,
    status: str,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for home in ("HOME", "XDG_CONFIG_HOME"):  # somebody may be known to git on this machine
        monkeypatch.setenv(home, str(tmp_path))
    damage(fresh)

    found = of(examine(Workspace.open(fresh.root)), check)

    assert (found.status, remedy in found.remedy) == (status, True), found


def test_a_full_disk_an_absent_gpu_and_a_dead_server_are_told(
    fresh: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_MODEL_COPIES", 10**9)
    monkeypatch.setattr(machine, "_STORE_COPIES", 10**9)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    params = fresh.root / "params.yaml"
    params.write_text(params.read_text().replace("device: cpu", "device: cuda:7"))

    found = examine(Workspace.open(fresh.root))

    assert of(found, "disk").status == "failed" and "make room" in of(found, "disk").remedy
    assert "set finetune.device to cpu" in of(found, "device").remedy
    assert "unset PREFECT_API_URL" in of(found, "prefect").remedy
    with pytest.raises(UnfitError, match=r"more failed"):
        require_fit(found)


def test_a_package_out_of_range_is_told(fresh: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "requires", lambda _: ["duckdb<1", "nosuchpackage>=2"])

    rows = [one for one in examine(fresh) if one.check == "packages"]

    assert [one.status for one in rows] == ["failed", "failed"]
    assert "not <1" in rows[0].found and "nosuchpackage is not installed" in rows[1].found


def test_the_command_prints_what_mends_and_ends_with_1(
    fresh: Workspace,
    sift: Sift,
) -> None:
    assert sift("doctor", "-w", fresh.root).code == 0
    secret_open(fresh)

    ended = sift("doctor", "--json", "-w", fresh.root)

    assert ended.code == 1
    ended.complained("keys: secret.key can be read by others", "chmod 600")
    assert {one["check"] for one in ended.json if one["status"] == "failed"} == {"keys"}
