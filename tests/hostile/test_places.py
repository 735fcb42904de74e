"""A folder that is not where it was, or leads elsewhere: nothing of another one is touched."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from flows.erasure.tombstones.copies import known_copies
from flows.erasure.tombstones.places import unknown
from flows.errors import UsageError
from flows.evidence.verification import verify
from flows.integrations.dvc.config import Remote, set_remote
from flows.integrations.ownership import MARK, ForeignPlaceError
from flows.operations.doctor.custody import CUSTODY
from flows.operations.relocation import settle_copy, settle_move
from flows.workspace.home import DisplacedError, read_home
from flows.workspace.workspace import Workspace
from tests.support.traces import traces
from tests.support.workspaces import (
    build_plainly,
    make_workspace,
    marker,
    opt_out_plainly,
    request,
    reviews,
)

MADE_AGAIN = (".sift/lock", ".sift/logs", ".sift/tmp", ".sift/departures", ".dvc/tmp")


@pytest.fixture(scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path) -> Path:
    root = tmp_path_factory.mktemp("template") / "films"
    make_workspace(root, tiny_classifier, [reviews("ann"), reviews("bob")])
    build_plainly(root)
    return root


@pytest.fixture
def original(tmp_path: Path, _template: Path) -> Workspace:
    """A built workspace of two contributors."""
    root = tmp_path / "films"
    shutil.copytree(_template, root, symlinks=True)
    settle_copy(root)
    return Workspace.open(root)


def tree(root: Path) -> dict[str, bytes]:
    """Every byte of a workspace that another one's opt-out must leave alone."""
    files = {p.relative_to(root).as_posix(): p for p in root.rglob("*") if p.is_file()}
    return {name: p.read_bytes() for name, p in files.items() if not name.startswith(MADE_AGAIN)}


def leave(workspace: Workspace, contributor: str) -> None:
    removal = request(workspace, contributor)
    opt_out_plainly(workspace.root, removal.request_id)


def diagnosis(workspace: Workspace, check: str) -> tuple[str, str]:
    try:
        ((status, found, _),) = CUSTODY[check](workspace)
    except UsageError as error:
        return "failed", error.facts
    return status, found


@pytest.mark.slow
def test_an_opt_out_in_a_copy_leaves_the_original_alone_to_the_byte(
    original: Workspace, tmp_path: Path
) -> None:
    """And what leaves the original leaves the copy, which the original knows of, too."""
    copy = shutil.copytree(original.root, tmp_path / "copy", symlinks=True)
    before = tree(original.root)
    with pytest.raises(DisplacedError, match=r"is a copy of .*sift workspace copied") as caught:
        Workspace.open(copy)
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match="is a copy"):
        settle_move(copy)
    settle_copy(copy)

    workspace = Workspace.open(copy)
    leave(workspace, "ann")

    assert tree(original.root) == before
    assert traces(copy, {"text": marker("ann").encode()}) == {}
    verify(workspace).require()
    verify(original).require()
    assert (
        workspace.key_of("ann") == original.key_of("ann")
        and workspace.identity != original.identity
    )
    assert unknown(original) == [], "it left the copy alone"

    leave(original, "bob")

    (known,) = known_copies(original)
    assert known.copy.path == str(copy) and known.still_holds == ["opt-out-0001"]
    assert diagnosis(original, "copies")[0] == "warning"
    assert diagnosis(workspace, "departures")[0] == "failed"
    shutil.rmtree(original.root)
    assert "nobody tells" in diagnosis(workspace, "departures")[1]


@pytest.mark.slow
def test_a_moved_workspace_goes_on_after_one_command(original: Workspace, tmp_path: Path) -> None:
    new = tmp_path / "else where"
    original.root.rename(new)
    with pytest.raises(DisplacedError, match=r"was at .*sift workspace moved"):
        Workspace.open(new)

    settle_move(new)

    workspace = Workspace.open(new)
    assert workspace.identity == original.identity if original.root.exists() else True
    assert (
        workspace.mlflow.reading.served_folder(1).is_relative_to(new)
        and workspace.dvc.record.status() == {}
    )
    leave(workspace, "ann")
    assert traces(new, {"text": marker("ann").encode()}) == {}
    verify(workspace).require()


def test_a_workspace_by_another_name_is_sent_to_its_own(
    original: Workspace, tmp_path: Path
) -> None:
    """A link is followed; a move into a folder within and out again settles each time."""
    (tmp_path / "link").symlink_to(original.root)
    assert Workspace.open(tmp_path / "link").root == original.root
    inner = original.root.with_name("x")
    original.root.rename(inner)
    original.root.mkdir()
    inner.rename(original.root / "films")
    settle_move(original.root / "films")
    assert Workspace.open(original.root / "films").mlflow.reading.served_folder(1).is_dir()


def _row(statement: str) -> Callable[[Workspace, Path], None]:
    def alter(workspace: Workspace, other: Path) -> None:
        with closing(sqlite3.connect(workspace.root / "mlflow.db")) as connection, connection:
            connection.execute(statement, (other.as_uri(),))

    return alter


def _link(name: str) -> Callable[[Workspace, Path], None]:
    def alter(workspace: Workspace, other: Path) -> None:
        folder = workspace.root / name
        target = other / folder.name
        target.parent.mkdir(exist_ok=True)
        folder.rename(target)
        folder.symlink_to(target)

    return alter


def _shared_remote(workspace: Workspace, other: Path) -> None:
    shutil.copytree(workspace.root / "remote", other)
    (other / MARK).write_text("0" * 32 + "\n")
    set_remote(workspace.root / ".dvc", Remote(str(other)))


CASES: dict[str, Callable[[Workspace, Path], None]] = {
    "an experiment elsewhere": _row(
        "UPDATE experiments SET artifact_location = ? WHERE name = 'films'"
    ),
    "a run elsewhere": _row("UPDATE runs SET artifact_uri = ? || '/run/artifacts'"),
    "a model elsewhere": _row("UPDATE logged_models SET artifact_location = ? || '/m/artifacts'"),
    "a version elsewhere": _row("UPDATE model_versions SET source = ? || '/m/artifacts'"),
    "a link to other rows": _link("data"),
    "a link to other vectors": _link("vectors"),
    "a link to other models": _link("mlruns"),
    "a link to a model": _link("mlruns/models"),
    "a link to another cache": _link(".dvc/cache"),
    "a link to other objects": _link(".dvc/cache/files"),
    "a link to another remote": _link("remote"),
    "a link to another .sift": _link(".sift/departures"),
    "a link to another store": _link("mlflow.db"),
    "another workspace's remote": _shared_remote,
}
"""What a store, a link or a setting says lies elsewhere."""


@pytest.mark.parametrize("case", CASES)
def test_what_leads_elsewhere_stops_every_change(
    original: Workspace, tmp_path: Path, case: str
) -> None:
    other = tmp_path / "another"
    (original.root / ".sift" / "departures").mkdir(exist_ok=True)
    CASES[case](original, other)
    before = tree(other) if other.exists() else {}

    workspace = Workspace.open(original.root)
    with pytest.raises(ForeignPlaceError) as caught, workspace.lock():
        pytest.fail("it went to work")

    assert caught.value.exit_code == 2 and caught.value.remedy
    assert diagnosis(workspace, "home")[0] == "failed"
    assert (tree(other) if other.exists() else {}) == before


def test_a_remote_that_nobody_marked_and_that_holds_objects_is_not_ours(
    original: Workspace, tmp_path: Path
) -> None:
    shutil.copytree(original.root / "remote", tmp_path / "theirs")
    (tmp_path / "theirs" / MARK).unlink(missing_ok=True)
    set_remote(original.root / ".dvc", Remote(str(tmp_path / "theirs")))
    workspace = Workspace.open(original.root)

    with pytest.raises(ForeignPlaceError, match="another workspace's"):
        workspace.dvc.remote.require_own(workspace.identity)

    assert not (tmp_path / "theirs" / MARK).exists()


def test_a_home_that_is_not_ours_to_read_is_one_error(original: Workspace) -> None:
    home = original.root / ".sift" / "home.json"
    for text in ("", "[]", '{"format": "sift-home/1"}', "\x00"):
        home.write_text(text)
        with pytest.raises(Exception, match=r"home\.json does not say where"):
            Workspace.open(original.root)
    home.unlink()
    workspace = Workspace.open(original.root)
    with workspace.lock():
        pass
    assert read_home(original.root) is not None


REFUSED_PATHS = {
    "a question mark": "what?",
    "braces": "{films}",
    "a variable": "$HOME",
    "an escape": "100%25",
    "a line break": "two\nlines",
    "a separator of lines": "two\u2028lines",
    "a tab": "two\tcolumns",
    "an escape sequence": "\x1b[2J",
    "bytes that are no UTF-8": os.fsdecode(b"caf\xe9"),
    "a long path": "/".join(["d" * 100] * 4),
}
USABLE_PATHS = {
    "spaces": " with  spaces ",
    "quotes": 'it\'s "so" `here`',
    "marks of URLs": "a#b&c=d;e:f@g",
    "a percent sign": "100% of it",
    "patterns": "a*b[c]!d",
    "a tilde": "~user",
    "slashes of elsewhere": "a\\b",
    "letters of elsewhere": "фильмы 映画",
    "a dash": "-rf",
    "a long name": "n" * 150,
}


@pytest.mark.parametrize("case", REFUSED_PATHS)
def test_a_path_that_a_library_cannot_name_is_refused_by_what_is_in_the_way(
    tmp_path: Path, case: str
) -> None:
    root = tmp_path / REFUSED_PATHS[case]

    with pytest.raises(UsageError, match=r"The path .* name another folder") as caught:
        Workspace.create(root, {})

    assert str(caught.value).isprintable() and not root.exists()


@pytest.mark.parametrize("case", USABLE_PATHS)
def test_any_other_path_will_do(tmp_path: Path, case: str) -> None:
    """git, DVC with its remote, lineage and MLflow all write and find again there."""
    root = tmp_path / USABLE_PATHS[case]
    workspace = Workspace.create(root, {"model": {"name": "films"}})
    (workspace.data / "rows.jsonl").write_text("{}\n")

    with workspace.lock():
        workspace.dvc.record.add("data")
        workspace.dvc.remote.push()
        client = workspace.mlflow.backend.client
        run = client.create_run(workspace.mlflow.backend.make_experiment(client))
        client.log_artifact(run.info.run_id, str(root / "params.yaml"))

    with Workspace.open(root).lock():
        pass
    assert workspace.git.is_clean() or workspace.git.tracked("params.yaml")
    assert (root / "mlruns" / run.info.run_id / "artifacts" / "params.yaml").is_file()
    assert not workspace.dvc.remote.is_empty() and [p.name for p in tmp_path.iterdir()] == [
        root.name
    ]
