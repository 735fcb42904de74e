import errno
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import dvc_data.index.collect
import dvc_objects.fs.local
import pytest
from dvc.repo import Repo
from dvc_objects.db import ObjectDB
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.integrations.dvc.repository import (
    Dvc,
    DvcBusyError,
    DvcError,
    LiveObjectError,
    StoredObject,
)
from flows.integrations.git import Git
from tests.support.dvc_workspace import (
    ALICE,
    BOB,
    CAROL,
    PEOPLE,
    WITHOUT_ALICE,
    Workspace,
    md5,
    of_alice,
)


@pytest.fixture
def workspace(tmp_path: Path, bare_machine: Path) -> Workspace:
    return Workspace.create(tmp_path / "workspace", tmp_path / "remote")


def traces(workspace: Workspace, text: bytes) -> list[Path]:
    """Files of cache and remote that hold the text, or a listing of old that names Alice."""
    return [path for path, raw in workspace.stored_bytes().items() if text in raw]


# -- recording -------------------------------------------------------------------------------------


def test_after_recording_status_is_clean_and_repro_has_nothing_to_do(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    assert workspace.dvc.record.status() == {}
    assert workspace.git.is_clean()
    monkeypatch.chdir(workspace.root)
    with Repo(str(workspace.root)) as repo:
        assert repo.reproduce() == []  # every stage's command fails


@pytest.mark.parametrize("where", [".", "vectors", "../.."])
def test_the_current_folder_does_not_matter(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    workspace.write(f"data/{ALICE}.jsonl", b"changed")
    monkeypatch.chdir(workspace.root / where)
    workspace.dvc.record.add("data")
    workspace.dvc.record.commit_stages()
    assert workspace.dvc.record.status() == {}


def test_a_changed_file_shows_until_it_is_recorded(workspace: Workspace) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    workspace.write(f"vectors/{BOB}.safetensors", b"another")
    assert set(workspace.dvc.record.status()) == {"finetune", "merge"}
    workspace.dvc.record.commit_stages()
    assert workspace.dvc.record.status() == {}


def test_workspace_files_stay_writable_and_share_no_bytes_with_the_cache(
    workspace: Workspace,
) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    shutil.rmtree(workspace.root / "masks")
    workspace.dvc.remote.pull()
    for folder in ("base", "data", "vectors", "masks", "merge"):
        for path in (workspace.root / folder).iterdir():
            status = path.lstat()
            assert stat.S_ISREG(status.st_mode)
            assert status.st_mode & stat.S_IWUSR
            assert status.st_nlink == 1
    path = workspace.root / f"data/{ALICE}.jsonl"
    stored = workspace.dvc.objects.path(md5(path.read_bytes()))
    path.write_bytes(b"in place")
    assert stored is not None
    assert stored.read_bytes() == b"data of Alice"


def test_links_in_the_users_settings_do_not_reach_the_workspace(
    workspace: Workspace, bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare_machine / "config").write_text("[cache]\ntype = symlink\ndir = /nowhere\n")
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(bare_machine))
    workspace.build(PEOPLE)
    workspace.record()
    shutil.rmtree(workspace.root / "data")
    workspace.dvc.remote.pull()
    assert not (workspace.root / f"data/{ALICE}.jsonl").is_symlink()
    assert workspace.dvc.objects.path(md5(b"data of Alice"))


def test_a_workspace_without_contributors_is_recorded(workspace: Workspace) -> None:
    workspace.build({})
    workspace.record()
    assert workspace.dvc.record.status() == {}


def test_a_missing_output_is_one_line_with_a_remedy(workspace: Workspace) -> None:
    workspace.build(PEOPLE)
    (workspace.root / "metrics.json").unlink()
    workspace.dvc.record.add("base", "data")
    with pytest.raises(DvcError, match=r"metrics\.json.*does not exist.*Remedy") as caught:
        workspace.dvc.record.commit_stages()
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_an_error_and_the_record_can_be_made_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    workspace.build(PEOPLE)
    with monkeypatch.context() as patch:
        patch.setattr(dvc_objects.fs.local, "copyfile", full)
        with pytest.raises(DvcError, match="Remedy"):
            workspace.dvc.record.add("data")
    workspace.record()
    assert workspace.dvc.record.status() == {}


def test_a_damaged_lock_file_names_the_way_back(workspace: Workspace) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    (workspace.root / "dvc.lock").write_text("stages: [")
    with pytest.raises(DvcError, match="git checkout HEAD -- FILE"):
        workspace.dvc.objects.live()
    with pytest.raises(DvcError, match="git checkout HEAD -- FILE"):
        workspace.dvc.record.commit_stages()


@pytest.mark.parametrize(
    "left", [b"", b"\n", b"schema: '2.0'\nstages:\n  finetune:\n    outs:\n    - pa"]
)
def test_a_record_that_a_kill_cut_off_is_found(workspace: Workspace, left: bytes) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    assert workspace.dvc.record.mend() == []
    for name in ("data.dvc", "dvc.lock"):
        (workspace.root / name).write_bytes(left)
    assert workspace.dvc.record.mend() == ["data.dvc", "dvc.lock"]


@pytest.mark.parametrize("left", [b"", b'{"write": {"/wor'])
def test_a_list_of_locks_that_a_kill_cut_off_is_dropped(workspace: Workspace, left: bytes) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    whole = workspace.root / ".dvc" / "tmp" / "rwlock"
    before = whole.read_bytes()
    assert workspace.dvc.record.mend() == [] and whole.read_bytes() == before
    whole.write_bytes(left)
    assert workspace.dvc.record.mend() == []
    workspace.record()
    assert workspace.dvc.record.status() == {}


def test_damaged_settings_are_an_error_and_a_users_own_are_kept(workspace: Workspace) -> None:
    local = workspace.root / ".dvc" / "config.local"
    mine = "[core]\nsite_cache_dir = /old/place\n['remote \"storage\"']\npassword = päss\n"
    local.write_text(mine, encoding="utf-8")
    Dvc(workspace.root)
    after = local.read_text(encoding="utf-8")
    assert "password = päss" in after
    assert "/old/place" not in after
    local.write_text("[core\n")
    with pytest.raises(DvcError, match=r"config\.local"):
        Dvc(workspace.root)


def test_another_process_at_work_is_said_plainly(workspace: Workspace) -> None:
    busy = pytest.raises(DvcBusyError, match="Another DVC command")
    with Repo(str(workspace.root)) as repo, repo.lock, busy:
        workspace.dvc.remote.push()
    assert workspace.dvc.remote.push() == 0


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DvcError, match="sift init"):
        Dvc(tmp_path)


# -- transport and history -------------------------------------------------------------------------


def test_push_fills_the_remote_and_pull_brings_all_back(workspace: Workspace) -> None:
    workspace.build(PEOPLE)
    workspace.dvc.record.add("base", "data")
    workspace.dvc.record.commit_stages()
    assert workspace.dvc.remote.push() == len(workspace.dvc.objects.live())
    assert workspace.dvc.remote.push() == 0
    before = {p: p.read_bytes() for p in workspace.root.glob("[!.]*/*")}
    for folder in ("base", "data", "vectors", "masks", "merge", ".dvc/cache"):
        shutil.rmtree(workspace.root / folder)
    workspace.dvc.remote.pull()
    assert {p: p.read_bytes() for p in before} == before
    assert workspace.dvc.record.status() == {}


def test_a_push_that_was_killed_while_it_gathered_is_made_whole(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC takes what it gathered for a push of the same record before for all there is."""
    calls = []

    def dying(*arguments: Any, **named: Any) -> None:
        if calls:
            raise OSError(errno.EINTR, "killed")
        calls.append(gather(*arguments, **named))

    workspace.build(PEOPLE)
    workspace.dvc.record.add("base", "data")
    workspace.dvc.record.commit_stages()
    gather = dvc_data.index.collect._collect_from_index
    with monkeypatch.context() as patch:
        patch.setattr(dvc_data.index.collect, "_collect_from_index", dying)
        with pytest.raises(DvcError, match="killed"):
            workspace.dvc.remote.push()

    workspace.dvc.remote.push()

    shutil.rmtree(workspace.root / ".dvc" / "cache")
    workspace.dvc.remote.pull()
    assert workspace.dvc.record.status() == {}


def test_what_the_remote_has_lost_is_pushed_again(workspace: Workspace) -> None:
    """DVC takes an object for there where a listing that names it is."""
    workspace.build(PEOPLE)
    workspace.record()
    there = workspace.stored_bytes().items()
    copies = [path for path, held in there if held == b"mask of Bob"]
    (lost,) = [path for path in copies if path.is_relative_to(workspace.remote)]
    lost.unlink()

    assert workspace.dvc.remote.push() == 1

    assert lost.read_bytes() == b"mask of Bob"


def test_push_of_an_object_lost_everywhere_is_an_error(workspace: Workspace) -> None:
    workspace.build(PEOPLE)
    workspace.dvc.record.add("base", "data")
    workspace.dvc.record.commit_stages()
    lost = workspace.dvc.objects.path(md5(b"mask of Bob"))
    assert lost is not None
    lost.unlink()
    with pytest.raises(DvcError, match=md5(b"mask of Bob")):
        workspace.dvc.remote.push()


def test_an_earlier_build_can_be_checked_out_again(workspace: Workspace) -> None:
    workspace.build(PEOPLE)
    first = workspace.record()
    workspace.build(WITHOUT_ALICE)
    workspace.record()
    subprocess.run(["git", "checkout", "-q", first], cwd=workspace.root, check=True)
    workspace.dvc.remote.pull()
    assert (workspace.root / f"data/{ALICE}.jsonl").read_bytes() == b"data of Alice"
    assert workspace.dvc.record.status() == {}


def test_nothing_is_written_outside(
    workspace: Workspace, bare_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "elsewhere"))
    workspace.build(PEOPLE)
    workspace.record()
    workspace.dvc.objects.destroy([])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "remote", "workspace"]
    assert list(bare_machine.iterdir()) == []
    with Repo(str(workspace.root)) as repo:  # as the user's own `dvc` opens it
        assert Path(repo.site_cache_dir).is_relative_to(workspace.root)
        assert repo.config["core"]["analytics"] is False


def test_a_moved_workspace_works_with_its_inner_remote(tmp_path: Path, bare_machine: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    workspace = Workspace.create(old, old / "store")
    workspace.write(".gitignore", b"/store\n")
    workspace.build(PEOPLE)
    workspace.record()
    old.rename(new)
    moved = Workspace(new, new / "store", Git(new), Dvc(new))
    assert moved.dvc.record.status() == {}
    moved.build(WITHOUT_ALICE)
    moved.record()
    moved.dvc.objects.destroy(moved.dvc.objects.holders(of_alice()))
    assert traces(moved, b"of Alice") == []
    assert not old.exists()


@pytest.mark.parametrize("name", ["work spaçe %41", "a, b # c", "it's [1] *", "~home"])
def test_any_folder_name_will_do(tmp_path: Path, bare_machine: Path, name: str) -> None:
    workspace = Workspace.create(tmp_path / name, tmp_path / (name + " remote"))
    workspace.build(PEOPLE)
    workspace.record()
    workspace.build(WITHOUT_ALICE)
    workspace.record()
    workspace.dvc.objects.destroy(workspace.dvc.objects.holders(of_alice()))
    assert traces(workspace, b"of Alice") == []
    assert workspace.dvc.record.status() == {}
    assert {path.name for path in tmp_path.iterdir()} == {"home", name, name + " remote"}


def test_init_again_keeps_what_is_there(workspace: Workspace) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    again = Dvc.init(workspace.root, workspace.remote)
    assert again.record.status() == {}
    assert workspace.git.is_clean()


# -- live objects and holders ----------------------------------------------------------------------


def test_live_objects_are_exactly_what_the_current_record_reaches(workspace: Workspace) -> None:
    assert workspace.dvc.objects.live() == set()  # neither .dvc files nor dvc.lock yet
    workspace.build(PEOPLE)
    workspace.dvc.record.add("data")
    live = workspace.dvc.objects.live()
    assert {m for m in live if not m.endswith(".dir")} == {
        md5(b"data " + content) for content in PEOPLE.values()
    }
    workspace.record()
    workspace.build(WITHOUT_ALICE)
    workspace.record()
    live = workspace.dvc.objects.live()
    files = [p for p in workspace.root.glob("*/*") if p.parent.name not in ("plots",)]
    tracked = {"base", "data", "vectors", "masks", "merge"}
    assert {m for m in live if not m.endswith(".dir")} == {
        md5(path.read_bytes()) for path in files if path.parent.name in tracked
    }
    assert len([m for m in live if m.endswith(".dir")]) == len(tracked)
    assert live.isdisjoint(of_alice())


def test_a_listing_gone_from_the_cache_is_read_from_the_remote(workspace: Workspace) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    live = workspace.dvc.objects.live()
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    assert workspace.dvc.objects.live() == live


def test_a_listing_gone_everywhere_stops_a_destruction(workspace: Workspace) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    for path in workspace.stored_bytes():
        if path.suffix == ".dir":
            path.unlink()
    with pytest.raises(DvcError, match="neither in the cache nor in the remote"):
        workspace.dvc.objects.destroy(workspace.dvc.objects.holders([md5(b"data of Alice")]))
    assert traces(workspace, b"data of Alice") != []
    workspace.record()  # the way out
    assert workspace.dvc.record.status() == {}
    assert workspace.dvc.objects.live()


def test_a_damaged_listing_stops_the_search(workspace: Workspace) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    listing = next(path for path in workspace.stored_bytes() if path.suffix == ".dir")
    listing.chmod(0o644)
    listing.write_bytes(b'[{"md5": "')
    with pytest.raises(DvcError, match="damaged"):
        workspace.dvc.objects.holders([md5(b"nobody")])


def test_holders_are_the_objects_and_every_listing_of_them_in_both_places(
    workspace: Workspace,
) -> None:
    workspace.build({ALICE: PEOPLE[ALICE]})
    workspace.record()
    workspace.build(PEOPLE)
    workspace.record()
    workspace.build(WITHOUT_ALICE)
    workspace.record()
    found = workspace.dvc.objects.holders([md5(b"data of Alice")])
    for place, store in (
        ("dvc-cache", workspace.root / ".dvc" / "cache"),
        ("dvc-remote", workspace.remote),
    ):
        there = [stored for stored in found if stored.place == place]
        assert len(there) == 3  # the object, the listing of the first and of the second build
        for stored in there:
            path = Path(stored.path)
            assert path.is_relative_to(store)
            assert path.stat().st_size == stored.bytes
            assert stored.md5.endswith(".dir") or path.read_bytes() == b"data of Alice"


@pytest.mark.parametrize("md5_", ["", "../../../x", "A" * 32, "a" * 31, "a" * 32 + ".dirt"])
def test_what_is_no_md5_never_becomes_a_path(workspace: Workspace, md5_: str) -> None:
    stored = StoredObject("dvc-cache", md5_, str(workspace.root / "params.yaml"), 0)
    for use in (
        lambda: workspace.dvc.objects.destroy([stored]),
        lambda: workspace.dvc.objects.still_there([stored]),
        lambda: workspace.dvc.objects.holders([md5_]),
        lambda: workspace.dvc.objects.path(md5_),
    ):
        with pytest.raises(DvcError, match="not the MD5"):
            use()


# -- destroying ------------------------------------------------------------------------------------


def test_destroyed_is_absent_from_every_byte_of_cache_and_remote_old_commits_included(
    workspace: Workspace,
) -> None:
    for people in ({ALICE: PEOPLE[ALICE]}, PEOPLE, WITHOUT_ALICE):
        workspace.build(people)
        workspace.record()
    kept = {md5(raw) for p, raw in workspace.stored_bytes().items() if b"of Alice" not in raw}
    doomed = workspace.dvc.objects.holders([*of_alice(), md5(b"merge of Alice")])
    assert traces(workspace, b"of Alice") != []
    workspace.dvc.objects.destroy(doomed)
    assert traces(workspace, b"of Alice") == []
    assert traces(workspace, ALICE.encode()) == []  # nor does any listing name her
    assert workspace.dvc.objects.still_there(doomed) == []
    assert workspace.dvc.objects.holders(of_alice()) == []
    assert workspace.dvc.objects.path(md5(b"data of Alice")) is None
    left = {md5(raw) for raw in workspace.stored_bytes().values()}
    assert left == kept - {stored.md5.removesuffix(".dir") for stored in doomed}
    assert workspace.dvc.record.status() == {}
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    workspace.dvc.remote.pull()  # the others' record is whole in the remote
    assert workspace.dvc.record.status() == {}


def test_what_a_current_entry_needs_is_refused_and_nothing_is_destroyed(
    workspace: Workspace,
) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    before = workspace.stored_bytes()
    with pytest.raises(LiveObjectError, match="still needed"):
        workspace.dvc.objects.destroy(workspace.dvc.objects.holders(of_alice()))
    assert workspace.stored_bytes() == before


def test_content_shared_with_another_contributor_survives(workspace: Workspace) -> None:
    workspace.build({ALICE: b"the same", BOB: b"the same", CAROL: b"of Carol"})
    workspace.record()
    workspace.build({BOB: b"the same", CAROL: b"of Carol"})
    workspace.record()
    shared = md5(b"data the same")
    found = workspace.dvc.objects.holders([shared])
    with pytest.raises(LiveObjectError, match=shared):
        workspace.dvc.objects.destroy(found)
    live = workspace.dvc.objects.live()
    workspace.dvc.objects.destroy(stored for stored in found if stored.md5 not in live)
    assert len(traces(workspace, b"data the same")) == 2  # cache and remote
    assert traces(workspace, ALICE.encode() + b".jsonl") == []
    assert workspace.dvc.record.status() == {}


def test_an_interrupted_destruction_can_be_run_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    workspace.build(WITHOUT_ALICE)
    workspace.record()
    doomed = workspace.dvc.objects.holders(of_alice())
    delete = ObjectDB.delete
    turns = iter(range(len(doomed)))

    def one_at_a_time(odb: ObjectDB, oid: str) -> None:
        delete(odb, oid)
        next(turns)
        raise KeyboardInterrupt

    monkeypatch.setattr(ObjectDB, "delete", one_at_a_time)
    for left in range(len(doomed) - 1, -1, -1):
        with pytest.raises(KeyboardInterrupt):
            workspace.dvc.objects.destroy(doomed)
        assert len(workspace.dvc.objects.still_there(doomed)) == left
    workspace.dvc.objects.destroy(doomed)
    assert traces(workspace, b"of Alice") == []
    assert workspace.dvc.record.status() == {}


def test_content_that_comes_back_reaches_the_remote_again(workspace: Workspace) -> None:
    """DVC notes which listings the remote holds; a stale note would make push skip them."""
    workspace.build(PEOPLE)
    workspace.record()
    workspace.build(WITHOUT_ALICE)
    workspace.record()
    workspace.dvc.objects.destroy(workspace.dvc.objects.holders(of_alice()))
    workspace.build(PEOPLE)
    workspace.record()
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    shutil.rmtree(workspace.root / "data")
    workspace.dvc.remote.pull()
    assert (workspace.root / f"data/{ALICE}.jsonl").read_bytes() == b"data of Alice"


def test_run_cache_entries_that_name_a_destroyed_object_go(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def runs() -> list[Path]:
        return [path for path in workspace.stored_bytes() if "runs" in path.parts]

    workspace.build(PEOPLE)
    workspace.record()
    assert runs() == []  # we make none
    monkeypatch.chdir(workspace.root)
    with Repo(str(workspace.root)) as repo:  # the user's own `dvc commit` and `dvc push` do
        repo.commit(force=True)
        repo.push(run_cache=True)
    assert len(runs()) == 4
    workspace.build(WITHOUT_ALICE)
    workspace.record()
    with Repo(str(workspace.root)) as repo:
        repo.commit(force=True)
    others = set(runs())
    assert len(others) == 6
    workspace.dvc.objects.destroy(workspace.dvc.objects.holders(of_alice()))
    assert len(runs()) == 2
    assert set(runs()) < others


def test_a_lost_record_stops_a_destruction(workspace: Workspace) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    (workspace.root / "dvc.lock").unlink()
    with pytest.raises(DvcError, match=r"No record says what .*vectors"):
        workspace.dvc.objects.destroy(workspace.dvc.objects.holders([md5(b"vector of Bob")]))
    assert len(traces(workspace, b"vector of Bob")) == 2


def test_data_added_but_never_built_can_be_destroyed(workspace: Workspace) -> None:
    workspace.write(f"data/{ALICE}.jsonl", b"data of Alice")
    workspace.dvc.record.add("data")
    workspace.dvc.remote.push()
    (workspace.root / f"data/{ALICE}.jsonl").unlink()
    workspace.dvc.record.add("data")
    workspace.dvc.objects.destroy(workspace.dvc.objects.holders([md5(b"data of Alice")]))
    assert traces(workspace, b"data of Alice") == []


def test_unfinished_copies_of_a_killed_process_are_swept(workspace: Workspace) -> None:
    workspace.build(WITHOUT_ALICE)
    workspace.record()
    for store in (workspace.root / ".dvc" / "cache", workspace.remote):
        (store / "files" / "md5" / "ab").mkdir(exist_ok=True)
        (store / "files" / "md5" / "ab" / ".Zk2-x_9.tmp").write_bytes(b"data of Al")
    workspace.dvc.objects.destroy([])
    assert traces(workspace, b"of Al") == []


def test_old_objects_stay_untouched_by_a_destruction(workspace: Workspace) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    workspace.build({CAROL: PEOPLE[CAROL]})
    workspace.record()
    workspace.dvc.objects.destroy(workspace.dvc.objects.holders([md5(b"data of Alice")]))
    assert len(traces(workspace, b"data of Bob")) == 2


@pytest.mark.slow
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    history=st.lists(
        st.dictionaries(st.sampled_from([ALICE, BOB, CAROL]), st.sampled_from([b"x", b"y", b"z"])),
        min_size=1,
        max_size=3,
    )
)
def test_after_any_history_what_is_not_live_can_go_and_what_is_live_stays(
    tmp_path: Path, bare_machine: Path, history: list[dict[str, bytes]]
) -> None:
    root, remote = tmp_path / "workspace", tmp_path / "remote"
    for folder in (root, remote):
        shutil.rmtree(folder, ignore_errors=True)
    workspace = Workspace.create(root, remote)
    for people in history:
        workspace.build(people)
        workspace.record()
    live = workspace.dvc.objects.live()
    ever = {md5(b"data " + content) for people in history for content in people.values()}
    workspace.dvc.objects.destroy(
        s for s in workspace.dvc.objects.holders(ever) if s.md5 not in live
    )
    current = {md5(b"data " + content) for content in history[-1].values()}
    stored = {md5(raw) for raw in workspace.stored_bytes().values()}
    assert stored & ever == current
    assert workspace.dvc.record.status() == {}


def test_notes_lie_beside_the_objects_of_the_remote_and_are_none(workspace: Workspace) -> None:
    dvc = workspace.dvc
    before = dvc.objects.inventory().objects
    for text in (b"one", b"another"):
        dvc.notes.write("departures/own", "a.departure", text)

    assert dvc.notes.names("departures/own") == ["a.departure"]
    assert dvc.notes.read("departures/own", "a.departure") == b"another"
    assert (workspace.remote / "departures" / "own" / "a.departure").read_bytes() == b"another"
    assert dvc.notes.names("departures/of others") == []
    assert dvc.objects.inventory().objects == before
