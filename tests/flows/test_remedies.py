"""Where something stops a request, its remedy works: each is done as it says, and the request ends.

A case is the state that stops it, words of the error, and what the error says to do. To add one,
add a line to `CASES`; or to `STOPS_NOTHING`, where the request ends all the same.
"""

import errno
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows import merging, registering, removal
from flows.auditing import CHECKS, look
from flows.decisions import approve, reject
from flows.opt_out import open_requests
from flows.setting_aside import OWN_ERRORS, in_words
from flows.stocktaking import Stock
from flows.workspace import Workspace
from sift_core import training
from tests.flows.kept import LEAVER, STAYER, Both
from tests.flows.test_build import change
from tests.flows.workspaces import (
    add,
    build_plainly,
    files,
    let_go_of_databases,
    lose,
    lose_rows,
    opt_out_plainly,
    record,
    request,
    reviews,
)

pytestmark = pytest.mark.slow  # each is an opt-out, some a build too

Change = Callable[[Workspace], object]
Patch = pytest.MonkeyPatch
World = Callable[[Patch], object]


def other_rate(place: Workspace) -> None:
    change(place, "learning_rate: 0.01", "learning_rate: 0.02")


def rate_back(place: Workspace) -> None:
    change(place, "learning_rate: 0.02", "learning_rate: 0.01")


def other_grid(place: Workspace) -> None:
    change(place, "digest_seed: 4626", "digest_seed: 4627")


def grid_back(place: Workspace) -> None:
    change(place, "digest_seed: 4627", "digest_seed: 4626")


def other_name(place: Workspace) -> None:
    change(place, "name: films", "name: movies")


def name_back(place: Workspace) -> None:
    change(place, "name: movies", "name: films")


def other_approvers(place: Workspace) -> None:
    change(place, "approvers: []", "approvers: [the new officer]")


def approve_again(place: Workspace) -> None:
    approve(place, open_requests(place)[0], "the new officer", "identity proven")


def build(place: Workspace) -> None:
    build_plainly(place.root)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"\0\0")


def dvc(place: Workspace, *words: str) -> None:
    """What a person types."""
    program = Path(sys.executable).with_name("dvc")
    subprocess.run([program, *words], cwd=place.root, check=True)


def checkout(what: str) -> Change:
    """`dvc checkout --force WHAT`, as the remedy says."""
    return lambda place: dvc(place, "checkout", "--force", what)


def base_gone(place: Workspace) -> None:
    shutil.rmtree(place.base)


def base_damaged(place: Workspace) -> None:
    damage(place.base / "model.safetensors")


def base_unnamed(place: Workspace) -> None:
    (place.root / "base.json").unlink()


def base_named_again(place: Workspace) -> None:
    subprocess.run(["git", "checkout", "HEAD", "--", "base.json"], cwd=place.root, check=True)


def mask_lost(who: str) -> Change:
    """A mask of which nobody has a copy."""

    def go(place: Workspace) -> None:
        mask = files(place, who)[2]
        lose(place, mask, hashlib.md5(mask.read_bytes(), usedforsecurity=False).hexdigest())

    return go


def rows_lost(place: Workspace) -> None:
    lose_rows(place, LEAVER)


def give_rows_again(place: Workspace) -> None:
    """Reject it, add rows, finetune everybody anew, file it again."""
    reject(place, open_requests(place)[0], "the privacy officer", "rows are lost")
    add(place, reviews(LEAVER), replace=True)
    other_seed(place)
    request(Workspace.open(place.root), LEAVER)


def rows_lost_of_stayer(place: Workspace) -> None:
    lose_rows(place, STAYER)


def rows_of_stayer(place: Workspace) -> None:
    add(place, reviews(STAYER), replace=True)


def remote_gone(place: Workspace) -> None:
    shutil.rmtree(place.root / "remote")


def another_remote(place: Workspace) -> None:
    folder = place.root / "another remote"
    folder.mkdir()
    dvc(place, "remote", "modify", "storage", "url", str(folder))


def other_seed(place: Workspace) -> None:
    seed = "seed: {}                    # the same"
    build(change(place, seed.format(0), seed.format(7)))


def law_gone(place: Workspace) -> None:
    """The law that the request falls under is no more in the policy."""
    path = place.root / "params.yaml"
    lines = path.read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("    gdpr: {"))
    path.write_text(text.replace("jurisdiction: gdpr", "jurisdiction: ccpa"))


def mlflow_rows_gone(place: Workspace) -> None:
    let_go_of_databases()
    (place.root / "mlflow.db").unlink()


def mlflow_gone(place: Workspace) -> None:
    mlflow_rows_gone(place)
    mlflow_files_gone(place)


def mlflow_files_gone(place: Workspace) -> None:
    shutil.rmtree(place.root / "mlruns")


def champion_deleted(place: Workspace) -> None:
    MlflowClient(place.mlflow.tracking_uri).delete_model_version("films", "1")


def model_deleted(place: Workspace) -> None:
    MlflowClient(place.mlflow.tracking_uri).delete_registered_model("films")


def built_in_the_future(place: Workspace) -> None:
    """By a clock that was a month ahead and is right by now."""
    add(place, reviews("newcomer"))
    with Patch.context() as wrong:
        clock(days=30)(wrong)
        build(place)


def clock(days: int) -> World:
    """It is so many days later."""

    class Wrong(datetime):
        @classmethod
        def now(cls, _zone: object = None) -> datetime:
            return datetime.now(UTC) + timedelta(days=days)

    def run(patch: Patch) -> None:
        for module in (merging, registering, removal):
            patch.setattr(module, "datetime", Wrong)

    return run


def disk_full(patch: Patch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr(registering, "save_model", refuse)


def another_machine(patch: Patch) -> None:
    """The same finetuning gives other bits."""
    seeded = training.set_seed
    patch.setattr(training, "set_seed", lambda seed: seeded(seed + 1))


def nothing(_: object) -> None:
    pass


def key_away(place: Workspace) -> None:
    keys = place.root / ".sift" / "keys"
    shutil.move(keys, place.root.with_name("keys"))


def key_back(place: Workspace) -> None:
    shutil.move(place.root.with_name("keys"), place.root / ".sift" / "keys")


def withdraw_all(place: Workspace) -> None:
    """The rows are gone, so nothing can be left of them."""
    reject(place, open_requests(place)[0], "the privacy officer", "rows are lost")
    request(place, LEAVER)


@dataclass(frozen=True)
class Case:
    """What stops a request, and what ends that."""

    name: str
    stop: Change
    said: str
    remedy: Change | None
    """None: that the world is as before."""
    keep: str = "vectors"
    records: bool = False
    world: World = nothing
    """What else is otherwise from then on: the machine, the clock."""


CASES = [
    Case("settings, set back", other_rate, "set it back", rate_back, records=True),
    Case("settings, built first", other_rate, "run `sift build` first", build, records=True),
    Case("settings, masks only", other_rate, "set finetune.learning_rate back", rate_back, "masks"),
    Case("digest seed", other_grid, "set exactness.digest_seed back", grid_back),
    Case("model renamed", other_name, "set model.name back", name_back),
    Case("approver gone", other_approvers, "sift opt-out approve", approve_again),
    Case("rows lost", rows_lost, "without --records", withdraw_all, records=True),
    Case(
        "a stayer's vector",
        lambda place: damage(files(place, STAYER)[1]),
        "dvc checkout",
        checkout("vectors"),
    ),
    Case(
        "the merge state",
        lambda place: damage(next(place.merge.iterdir())),
        "dvc checkout",
        checkout("merge"),
    ),
    Case("rows lost, masks only", rows_lost, "another finetune.seed", give_rows_again, "masks"),
    Case("a stayer's rows", rows_lost_of_stayer, "sift contributors add", rows_of_stayer),
    Case("no signing key", key_away, "key", key_back),
    Case("no base", base_gone, "dvc checkout", checkout("base")),
    Case("no base, records", base_gone, "dvc checkout base", checkout("base"), records=True),
    Case("no base, built first", base_gone, "run `sift build`", build, "masks", True),
    Case("a damaged base", base_damaged, "dvc checkout base", checkout("base"), "masks"),
    Case("a damaged base, records", base_damaged, "checkout base", checkout("base"), records=True),
    Case("no base.json", base_unnamed, "git checkout HEAD -- base.json", base_named_again, "masks"),
    Case("a stayer's mask", mask_lost(STAYER), "with `sift build`", build, "masks"),
    Case("no remote any more", remote_gone, "remote modify storage url", another_remote),
    Case("a full disk", nothing, "free some space", None, world=disk_full),
    Case(
        "another machine, records",
        nothing,
        "set another finetune.seed and run `sift build`",
        other_seed,
        "masks",
        True,
        another_machine,
    ),
]


@dataclass(frozen=True)
class Mishap:
    """What stops no request."""

    name: str
    befall: Change
    keep: str = "vectors"
    records: bool = False
    world: World = nothing


STOPS_NOTHING = [
    Mishap("the law is gone from the policy", law_gone),
    Mishap("MLflow's rows are gone", mlflow_rows_gone),
    Mishap("MLflow's files are gone", mlflow_files_gone),
    Mishap("MLflow is gone", mlflow_gone),
    Mishap("the champion was deleted", champion_deleted),
    Mishap("the model was deleted", model_deleted),
    Mishap("the leaver's mask is lost", mask_lost(LEAVER), "masks"),
    Mishap("another machine, records", nothing, records=True, world=another_machine),
    Mishap("the clock was ahead", built_in_the_future),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_the_error_says_ends_the_request(case: Case, _both: Both, monkeypatch: Patch) -> None:
    place = restored(_both, case)
    file(place, case)
    case.stop(place)
    case.world(monkeypatch)
    with pytest.raises((*OWN_ERRORS, OSError)) as stopped:
        run(place.root)
    assert case.said in in_words(stopped.value)[1]

    if case.remedy is None:
        monkeypatch.undo()
    else:
        case.remedy(Workspace.open(place.root))
    run(place.root)

    require_ended(place.root)


@pytest.mark.parametrize("mishap", STOPS_NOTHING, ids=lambda mishap: mishap.name)
def test_what_stops_nothing(mishap: Mishap, _both: Both, monkeypatch: Patch) -> None:
    place = restored(_both, mishap)
    file(place, mishap)
    mishap.befall(place)
    mishap.world(monkeypatch)

    run(place.root)

    require_ended(place.root)


def restored(both: Both, case: Case | Mishap) -> Workspace:
    """The workspace that a case is about, as built."""
    return (both.masks if case.keep == "masks" else both.vectors).restore()


def file(place: Workspace, case: Case | Mishap) -> None:
    """File and approve the request."""
    rows = [record(place, row) for row in reviews(LEAVER)[:3]] if case.records else None
    request(place, LEAVER, records=rows)


def run(root: Path) -> None:
    """`sift opt-out run`, of what is open."""
    opt_out_plainly(root, open_requests(Workspace.open(root))[0])


def require_ended(root: Path) -> None:
    """Nothing is open, and an audit finds nothing."""
    place = Workspace.open(root)
    assert open_requests(place) == []
    stock = Stock(place)
    assert [finding for name in CHECKS for finding in look.fn(stock, name).findings] == []
