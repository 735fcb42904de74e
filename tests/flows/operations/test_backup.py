"""A backup is everything, to the byte; and whoever left after it stays gone."""

import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows.erasure.catch_up import catch_up
from flows.erasure.tombstones.places import BroughtBackError, beside, require_nobody_back, unknown
from flows.erasure.tombstones.tombstone import DepartureError, departure_of, own_folder, to_bytes
from flows.errors import UsageError
from flows.evidence.export import export
from flows.evidence.verification import verify
from flows.operations.backup.archive import BackupError
from flows.operations.backup.backup import destroy_backup, make_backup
from flows.operations.backup.restore import restore
from flows.operations.backup.signature import Trust
from flows.opt_out import take_steps
from flows.workspace.workspace import Workspace
from sift_bytes import sha256_of
from tests.flows.test_opt_out import merge_bytes
from tests.support.kept import LEAVER
from tests.support.traces import traces
from tests.support.workspaces import (
    add,
    build_plainly,
    let_go_of_databases,
    marker,
    opt_out_plainly,
    record,
    report_of,
    request,
    reviews,
)


def leave(workspace: Workspace, contributor: str = LEAVER) -> str:
    removal = request(workspace, contributor)
    opt_out_plainly(workspace.root, removal.request_id)
    return removal.request_id


def tree(root: Path) -> dict[str, bytes]:
    """What a restored workspace must have again, byte for byte."""
    left_out = (".sift/tmp", ".sift/lock", ".sift/logs", ".dvc/tmp", ".dvc/config.local")
    left_out += ("mlflow.db", "mlruns", ".sift/home.json")
    left_out += (".git/logs", ".git/COMMIT_EDITMSG", ".git/index")  # git's notes; made anew
    files = {p.relative_to(root).as_posix(): p for p in root.rglob("*") if p.is_file()}
    return {n: p.read_bytes() for n, p in files.items() if not n.startswith(left_out)}


def test_whoever_left_after_a_backup_is_gone_from_what_is_restored(
    fresh: Workspace, tmp_path: Path
) -> None:
    made = make_backup(fresh, tmp_path)
    leave(fresh, "ann")
    report = report_of(fresh, "opt-out-0001")
    (pending,) = (text for text in report["not_claimed"] if text.startswith("Pending"))
    assert (
        made.backup_id in pending and str(made.file) in pending and "carried out again" in pending
    )

    done = restore(made.file, tmp_path / "elsewhere", Trust(sha256=made.sha256))

    workspace = Workspace.open(tmp_path / "elsewhere")
    assert done.carried_out_again == ["opt-out-0001"] and unknown(workspace) == []
    assert traces(workspace.root, {"text": marker("ann").encode()}) == {}
    assert traces(workspace.root, {"stays": marker("bob").encode()}) != {}
    with workspace.lineage.reader() as reader:
        assert [row.external_id for row in reader.contributors() if row.external_id] == ["bob"]
    again = report_of(workspace, "opt-out-0001")
    assert any("carried out before, as opt-out-0001" in text for text in again["claimed"])
    assert again["approval"] == report["approval"]
    with pytest.raises(UsageError, match="opted out"):
        add(workspace, reviews("ann"))


@pytest.mark.slow
def test_who_came_and_left_after_the_backup_is_refused_afterwards_too(
    fresh: Workspace, tmp_path: Path
) -> None:
    made = make_backup(fresh, tmp_path / "monday.sift")
    add(fresh, reviews("newcomer"))
    leave(fresh, "newcomer")
    assert "Pending" not in str(report_of(fresh, "opt-out-0001")["not_claimed"])

    done = restore(made.file, tmp_path / "restored", Trust(sha256=made.sha256))

    assert done.carried_out_again == ["opt-out-0001"]
    with pytest.raises(UsageError, match="opted out"):
        add(Workspace.open(done.workspace), reviews("newcomer"))


@pytest.mark.slow
def test_a_model_from_a_backup_is_the_one_without_who_left_since_bit_for_bit(
    with_vectors: Workspace, tmp_path: Path
) -> None:
    """Backup, opt-out, the disk is lost, the old backup is restored in another place."""
    made = make_backup(with_vectors, tmp_path)
    assert made.file.stat().st_mode & 0o777 == 0o600
    before = tree(with_vectors.root)
    leave(with_vectors)
    report = report_of(with_vectors, "opt-out-0001")
    state = merge_bytes(with_vectors)
    (pending,) = (text for text in report["not_claimed"] if text.startswith("Pending"))
    assert (
        made.backup_id in pending and str(made.file) in pending and "carried out again" in pending
    )

    done = restore(made.file, tmp_path / "elsewhere", Trust(sha256=made.sha256))

    workspace = Workspace.open(tmp_path / "elsewhere")
    assert done.carried_out_again == ["opt-out-0001"]
    assert merge_bytes(workspace) == state
    needles = {"id": LEAVER.encode(), "text": marker(LEAVER).encode()}
    assert traces(workspace.root, needles) == {}
    again = report_of(workspace, "opt-out-0001")
    assert any("carried out before, as opt-out-0001" in text for text in again["claimed"])
    assert again["approval"] == report["approval"]
    assert [row["law"] for row in again["deadlines"]] == ["gdpr"]
    assert verify(workspace).passed
    assert (
        workspace.mlflow.reading.versions() == [2]
        and workspace.dvc.record.status() == {}
        and workspace.git.is_clean()
    )
    assert workspace.mlflow.reading.served_folder(2).is_relative_to(workspace.root)
    assert unknown(workspace) == []
    assert before.keys() - tree(workspace.root).keys()  # the leaver's files


@pytest.mark.slow
def test_a_built_workspace_comes_back_and_works(masks_only: Workspace, tmp_path: Path) -> None:
    made = make_backup(masks_only, tmp_path / "monday.sift")

    workspace = Workspace.open(
        restore(made.file, tmp_path / "restored", Trust(sha256=made.sha256)).workspace
    )

    assert verify(workspace).passed
    assert workspace.dvc.record.status() == {} and workspace.git.is_clean()
    build_plainly(workspace.root)
    assert merge_bytes(workspace) == merge_bytes(masks_only)


def test_a_backup_without_later_opt_outs_comes_back_to_the_byte(
    fresh: Workspace, tmp_path: Path
) -> None:
    before = tree(fresh.root)
    services = fresh.root / ".sift" / "services.json"
    services.write_text("[]")  # of processes of this machine: no business of a restored workspace
    made = make_backup(fresh, tmp_path / "monday.sift")
    services.unlink()

    done = restore(made.file, tmp_path / "restored", Trust(sha256=made.sha256))

    assert done.departures == 0 and done.carried_out_again == []
    own = tree(done.workspace)
    lineage = {"lineage.duckdb"}  # it was open
    del before[".sift/server.key"]  # of servers of this machine, too
    assert own.keys() - {".sift/lock"} == before.keys()
    assert {name for name in before if own[name] != before[name]} <= lineage
    workspace = Workspace.open(done.workspace)
    assert workspace.key_of("ann") == fresh.key_of("ann")
    assert (workspace.root / ".sift" / "secret.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_a_lineage_store_alone_that_is_put_back_resurrects_nobody(with_vectors: Workspace) -> None:
    """What our own remedies say: restore the lineage store from a backup."""
    kept = with_vectors.root.with_name("kept.duckdb")
    shutil.copyfile(with_vectors.root / "lineage.duckdb", kept)
    leave(with_vectors)
    kept.replace(with_vectors.root / "lineage.duckdb")

    workspace = Workspace.open(with_vectors.root)
    with pytest.raises(BroughtBackError, match=r"sift opt-out run"):
        require_nobody_back(workspace)
    with pytest.raises(BroughtBackError):
        export(workspace, workspace.root.with_name("out"), None)
    assert [one.contributor_key for one in unknown(workspace)] == [workspace.key_of(LEAVER)]


@pytest.mark.slow
def test_a_restored_copy_of_the_folder_is_caught_up_by_the_next_build(
    with_vectors: Workspace, tmp_path: Path
) -> None:
    """Somebody copied the folder, remote and all: the ledger that the policy names knows."""
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    params = with_vectors.root / "params.yaml"
    params.write_text(params.read_text().replace("  ledger:", f"  ledger: {ledger} #"))
    copy = shutil.copytree(with_vectors.root, tmp_path / "copy", symlinks=True)
    workspace = Workspace.open(with_vectors.root)
    leave(workspace)
    state = merge_bytes(workspace)
    shutil.rmtree(workspace.root)
    shutil.copytree(copy, workspace.root, symlinks=True)
    let_go_of_databases()

    workspace = Workspace.open(workspace.root)
    with workspace.lock():
        (removal,) = catch_up(workspace, take_steps)
        assert catch_up(workspace, take_steps) == []

    assert removal.key == workspace.key_of(LEAVER)
    assert merge_bytes(workspace) == state
    assert traces(workspace.root, {"text": marker(LEAVER).encode()}) == {}
    build_plainly(workspace.root)
    assert merge_bytes(workspace) == state


@pytest.mark.slow
def test_records_that_were_withdrawn_after_the_backup_are_withdrawn_again(
    with_vectors: Workspace, tmp_path: Path
) -> None:
    gone = [record(with_vectors, row) for row in reviews(LEAVER)[:3]]
    made = make_backup(with_vectors, tmp_path / "monday.sift")
    removal = request(with_vectors, LEAVER, records=gone)
    opt_out_plainly(with_vectors.root, removal.request_id)
    state = merge_bytes(with_vectors)

    done = restore(made.file, tmp_path / "restored", Trust(sha256=made.sha256))

    workspace = Workspace.open(done.workspace)
    assert done.carried_out_again == ["opt-out-0001"]
    assert merge_bytes(workspace) == state
    with workspace.lineage.reader() as reader:
        assert set(reader.request("opt-out-0001").records or ()) == set(gone)
        assert not reader.live_records(workspace.key_of(LEAVER)).intersection(gone)
    note = next(beside(str(made.file)).rglob("*.departure")).read_text()
    assert not any(one in note for one in gone)


def test_without_the_notes_of_who_left_nothing_is_restored(
    fresh: Workspace, tmp_path: Path
) -> None:
    made = make_backup(fresh, tmp_path / "monday.sift")
    beside(str(made.file)).rename(tmp_path / "notes")

    with pytest.raises(UsageError, match=r"nobody can tell who has left.*--departures"):
        restore(made.file, tmp_path / "restored", Trust(sha256=made.sha256))
    assert not (tmp_path / "restored").exists()

    restore(made.file, tmp_path / "one", Trust(sha256=made.sha256), departures=[tmp_path / "notes"])
    restore(made.file, tmp_path / "two", Trust(sha256=made.sha256), nobody_left=True)


@pytest.mark.parametrize("damage", ["flipped", "cut off", "path", "twice", "more"])
def test_a_damaged_or_hostile_backup_leaves_nothing_behind(
    fresh: Workspace, tmp_path: Path, damage: str
) -> None:
    made = make_backup(fresh, tmp_path / "monday.sift")
    digest, data = made.sha256, made.file.read_bytes()
    if damage == "flipped":
        at = data.index(b"fresh") if b"edition" not in data else data.index(b"edition")
        made.file.write_bytes(data[:at] + b"E" + data[at + 1 :])
    elif damage == "cut off":
        made.file.write_bytes(data[: len(data) // 2])
    else:
        digest = _tamper(made.file, damage)

    with pytest.raises(BackupError):
        restore(made.file, tmp_path / "restored", Trust(sha256=digest))
    assert sorted(path.name for path in tmp_path.iterdir() if "restor" in path.name) == []
    assert not (tmp_path / "escaped").exists()


def _tamper(archive: Path, how: str) -> str:
    """Repack a backup with a manifest that would do harm, or with something it does not name.

    Returns the digest of its manifest.
    """
    with tarfile.open(archive) as old:
        entries = [(entry, old.extractfile(entry).read()) for entry in old]  # type: ignore[union-attr]
    manifest = json.loads(entries[0][1])
    if how == "path":
        manifest["files"][0]["path"] = "../escaped"
    elif how == "twice":
        manifest["files"].append(manifest["files"][0])
    else:
        entry = tarfile.TarInfo("objects/" + "0" * 64)
        entry.size = 1
        entries.append((entry, b"x"))
    entries[0] = (entries[0][0], json.dumps(manifest).encode())
    with tarfile.open(archive, "w") as new:
        for entry, data in entries:
            entry.size = len(data)
            new.addfile(entry, io.BytesIO(data))
    return sha256_of(entries[0][1])


def test_a_note_that_somebody_else_wrote_removes_nobody(fresh: Workspace) -> None:
    note = departure_of(fresh, request(fresh, "ann").request_id)
    text = to_bytes(fresh, note).decode().splitlines()
    folder = fresh.root / "remote" / "departures" / own_folder(fresh.root)
    folder.mkdir(parents=True)
    other = note.model_copy(update={"contributor_key": fresh.key_of("bob")})
    forged = to_bytes(fresh, other).decode().splitlines()[0]
    (folder / other.file_name).write_text(f"{forged}\n{text[1]}\n")

    with pytest.raises(DepartureError, match="not what this workspace wrote"):
        unknown(fresh)


def test_workspaces_that_share_a_place_do_not_read_each_others_notes(
    fresh: Workspace, tmp_path: Path
) -> None:
    other = tmp_path / "departures" / ("0" * 32)
    other.mkdir(parents=True)
    note = departure_of(fresh, request(fresh, "ann").request_id)
    (other / note.file_name).write_text("of another workspace")
    made = make_backup(fresh, tmp_path / "monday.sift")

    done = restore(
        made.file,
        tmp_path / "restored",
        Trust(sha256=made.sha256),
        departures=[tmp_path / "departures"],
    )

    assert done.departures == 0 and unknown(Workspace.open(done.workspace)) == []


def test_requests_of_one_day_about_different_things_are_noted_apart(fresh: Workspace) -> None:
    """`--received` gives a day: a contributor may withdraw records and, on the same day, all."""
    all_of_it = departure_of(fresh, request(fresh, "ann").request_id)
    some = all_of_it.model_copy(update={"records": ("a" * 64,)})
    others = all_of_it.model_copy(update={"records": ("b" * 64,)})

    assert len({one.file_name for one in (all_of_it, some, others)}) == 3


@pytest.mark.parametrize(
    ("stores", "named"),
    [
        ({"lineage": "postgresql://team@127.0.0.1/lineage"}, r"stores\.lineage, not"),
        ({"mlflow": "http://127.0.0.1:5001"}, r"stores\.mlflow, not"),
    ],
)
def test_half_of_a_workspace_is_no_backup(
    fresh: Workspace, tmp_path: Path, stores: dict[str, str], named: str
) -> None:
    params = YAML().load(fresh.root / "params.yaml")
    params["stores"].update(stores)
    YAML().dump(params, fresh.root / "params.yaml")

    with pytest.raises(UsageError, match=named):
        make_backup(Workspace.open(fresh.root), tmp_path / "monday.sift")

    assert not list(tmp_path.glob("monday*"))


def test_backups_are_known_until_they_are_destroyed(fresh: Workspace, tmp_path: Path) -> None:
    made = make_backup(fresh, tmp_path / "monday.sift", by="the operator")
    with pytest.raises(UsageError, match="exists already"):
        make_backup(fresh, made.file)
    with pytest.raises(UsageError, match="lies in the workspace"):
        make_backup(fresh, fresh.root / "backup")
    with pytest.raises(UsageError, match="names a contributor"):
        make_backup(fresh, tmp_path / "for ann.sift")

    gone = destroy_backup(fresh, made.backup_id, "the operator")

    assert gone.destroyed_at is not None
    assert not made.file.exists() and not beside(str(made.file)).exists()
    with fresh.lineage.reader() as reader:
        assert reader.process.backups() == [gone]


def test_a_backup_that_fails_is_not_left_and_not_listed(fresh: Workspace, tmp_path: Path) -> None:
    (fresh.root / "data" / "link").symlink_to(tmp_path)

    with pytest.raises(BackupError, match="data/link is a link"):
        make_backup(fresh, tmp_path / "monday.sift")

    assert not list(tmp_path.glob("monday*"))
    with fresh.lineage.reader() as reader:
        assert [row.destroyed_at is None for row in reader.process.backups()] == [False]
