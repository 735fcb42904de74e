"""A restored copy is known where its backup came from, until it has removed who left there."""

import shutil
from pathlib import Path

import pytest

from flows.erasure.catch_up import catch_up
from flows.erasure.tombstones.copies import known_copies
from flows.erasure.tombstones.places import beside
from flows.errors import UsageError
from flows.operations.backup.backup import Made, destroy_backup, make_backup
from flows.operations.backup.restore import restore
from flows.operations.backup.signature import Trust
from flows.operations.doctor.custody import CUSTODY
from flows.opt_out import take_steps
from flows.workspace.workspace import Workspace
from tests.support.traces import traces
from tests.support.workspaces import add, marker, opt_out_plainly, report_of, request, reviews

pytestmark = pytest.mark.slow


def leave(workspace: Workspace, contributor: str) -> str:
    removal = request(workspace, contributor)
    opt_out_plainly(workspace.root, removal.request_id)
    return removal.request_id


def diagnosis(workspace: Workspace, check: str) -> tuple[str, str]:
    ((status, found, _),) = CUSTODY[check](workspace)
    return status, found


def restored(made: Made, folder: Path) -> Workspace:
    return Workspace.open(restore(made.file, folder, Trust(sha256=made.sha256)).workspace)


def carried_away(made: Made, workspace: Workspace, *places: Path) -> Workspace:
    """A copy on another machine: there is neither the workspace nor what lies beside its backup."""
    elsewhere = workspace.root.parent / "elsewhere"
    elsewhere.mkdir()
    file = shutil.copyfile(made.file, elsewhere / made.file.name)
    away = workspace.root.rename(elsewhere / "of another machine")
    try:
        done = restore(
            file,
            elsewhere / "copy",
            Trust(sha256=made.sha256),
            departures=places,
            nobody_left=not places,
            take_over=False,
        )
    finally:
        away.rename(workspace.root)
    return Workspace.open(done.workspace)


def let_ledger_be(workspace: Workspace, folder: Path) -> None:
    """Note departures in this folder, too."""
    folder.mkdir(exist_ok=True)
    params = workspace.root / "params.yaml"
    params.write_text(params.read_text().replace("  ledger:", f"  ledger: {folder} #"))


def pending(workspace: Workspace, request_id: str, copy: Workspace) -> list[str]:
    """What the report of a request says of a copy."""
    lines = report_of(workspace, request_id)["not_claimed"]
    return [text for text in lines if "copy of this workspace" in text and str(copy.root) in text]


def catch(copy: Workspace) -> None:
    with copy.lock():
        catch_up(copy, take_steps)


def test_a_restored_copy_is_named_until_it_has_removed_who_left(
    fresh: Workspace, tmp_path: Path
) -> None:
    made = make_backup(fresh, tmp_path)
    copy = restored(made, tmp_path / "copy")
    assert diagnosis(fresh, "copies") == (
        "ok",
        "1 known, none holds who left. Copies that nobody told this workspace of are not known.",
    )

    left = leave(fresh, "ann")

    (known,) = known_copies(fresh)
    assert known.still_holds == [left]
    assert f"{copy.root} on " in known.where and made.backup_id in known.where
    status, found = diagnosis(fresh, "copies")
    assert status == "warning" and str(copy.root) in found and left in found
    assert len(pending(fresh, left, copy)) == 1
    status, found = diagnosis(copy, "departures")
    assert status == "failed" and left in found

    catch(copy)

    assert traces(copy.root, {"text": marker("ann").encode()}) == {}
    assert [one.still_holds for one in known_copies(fresh)] == [[]]
    assert diagnosis(fresh, "copies")[0] == diagnosis(copy, "departures")[0] == "ok"
    assert known_copies(copy) == [], "the workspace is no copy of its copy"


def test_who_leaves_a_copy_has_not_left_where_its_backup_came_from(
    fresh: Workspace, tmp_path: Path
) -> None:
    """Nor does a copy of the copy, or of its backup, count for one of the workspace."""
    copy = restored(make_backup(fresh, tmp_path), tmp_path / "copy")
    (tmp_path / "backups").mkdir()
    inner = restored(make_backup(copy, tmp_path / "backups"), tmp_path / "inner")

    left = leave(copy, "ann")

    assert diagnosis(fresh, "departures")[0] == diagnosis(fresh, "copies")[0] == "ok"
    assert [one.copy.path for one in known_copies(copy)] == [str(inner.root)]
    assert len(pending(copy, left, inner)) == 1
    assert diagnosis(inner, "departures")[0] == "failed"
    catch(inner)
    assert diagnosis(copy, "copies")[0] == "ok"
    assert traces(inner.root, {"text": marker("ann").encode()}) == {}
    assert traces(fresh.root, {"text": marker("ann").encode()}) != {}


def test_a_copy_that_nobody_tells_says_so_and_is_named_as_unknown(
    fresh: Workspace, tmp_path: Path
) -> None:
    made = make_backup(fresh, tmp_path)
    copy = carried_away(made, fresh)

    left = leave(fresh, "ann")

    status, found = diagnosis(copy, "departures")
    assert status == "warning" and f"nobody tells who has left {fresh.root}" in found
    assert known_copies(fresh) == []
    assert "nobody told this workspace of are not known" in diagnosis(fresh, "copies")[1]
    assert "restored where nobody told" in str(report_of(fresh, left)["not_claimed"])


@pytest.mark.parametrize("somebody_left_before", [True, False])
def test_a_copy_on_another_machine_is_known_by_the_folder_that_both_reach(
    fresh: Workspace, tmp_path: Path, somebody_left_before: bool
) -> None:
    ledger = tmp_path / "ledger"
    let_ledger_be(fresh, ledger)
    workspace = Workspace.open(fresh.root)
    if somebody_left_before:
        leave(workspace, "bob")
    made = make_backup(workspace, tmp_path)
    copy = carried_away(made, workspace, ledger)
    assert diagnosis(copy, "departures")[0] == "ok"

    left = leave(workspace, "ann")

    assert [one.still_holds for one in known_copies(workspace)] == [[left]]
    assert len(pending(workspace, left, copy)) == 1
    assert diagnosis(copy, "departures")[0] == "failed"
    catch(copy)
    assert diagnosis(workspace, "copies")[0] == diagnosis(copy, "departures")[0] == "ok"


def test_a_copy_is_still_told_once_its_backup_is_destroyed(
    fresh: Workspace, tmp_path: Path
) -> None:
    made = make_backup(fresh, tmp_path)
    copy = restored(made, tmp_path / "copy")
    destroy_backup(fresh, made.backup_id)

    left = leave(fresh, "ann")

    assert any(beside(str(made.file)).rglob("*.departure"))
    assert [one.still_holds for one in known_copies(fresh)] == [[left]]
    assert diagnosis(copy, "departures")[0] == "failed"


def test_a_copy_that_reaches_the_folder_later_is_known_once_it_has_caught_up(
    fresh: Workspace, tmp_path: Path
) -> None:
    copy = carried_away(make_backup(fresh, tmp_path), fresh)
    for workspace in (fresh, copy):
        let_ledger_be(workspace, tmp_path / "ledger")
    fresh, copy = Workspace.open(fresh.root), Workspace.open(copy.root)
    left = leave(fresh, "ann")
    assert known_copies(fresh) == []
    status, found = diagnosis(copy, "departures")
    assert status == "failed" and left in found

    catch(copy)

    assert [(one.copy.path, one.still_holds) for one in known_copies(fresh)] == [
        (str(copy.root), [])
    ]


@pytest.mark.parametrize("back", ["Ann@Example.org", "\u0430nn@example.org"])
def test_who_left_after_the_backup_does_not_come_in_again_under_another_spelling(
    fresh: Workspace, tmp_path: Path, back: str
) -> None:
    """The backup never saw them: what their id looked like, the note of their departure tells."""
    made = make_backup(fresh, tmp_path)
    add(fresh, reviews("ann@example.org"))
    leave(fresh, "ann@example.org")

    workspace = restored(made, tmp_path / "restored")

    with pytest.raises(UsageError, match=r"who has left|opted out"):
        add(workspace, reviews(back))
    with workspace.lineage.reader() as reader:
        names = {row.external_id for row in reader.contributors()}
    assert names == {"ann", "bob", None}
    add(workspace, reviews("Zoe@Example.org"))
