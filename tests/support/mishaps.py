"""What befalls a workspace while a request is open, and what a person does about it."""

import errno
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows.erasure.approvals import approve, reject
from flows.erasure.request import open_requests
from flows.erasure.steps import removed as removal
from flows.models import merge, register
from flows.workspace.workspace import Workspace
from sift_core import trainer
from tests.support.kept import LEAVER, STAYER
from tests.support.workspaces import (
    add,
    build_plainly,
    change,
    files,
    let_go_of_databases,
    lose,
    lose_rows,
    request,
    reviews,
)

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


def merge_lost(place: Workspace) -> None:
    (state,) = place.merge.iterdir()
    lose(place, state, hashlib.md5(state.read_bytes(), usedforsecurity=False).hexdigest())


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
        for module in (merge, register, removal):
            patch.setattr(module, "datetime", Wrong)

    return run


def disk_full(patch: Patch, module: object = register, name: str = "save_model") -> None:
    """Whatever this would write."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr(module, name, refuse)


def another_machine(patch: Patch) -> None:
    """The same finetuning gives other bits."""
    seeded = trainer.set_seed
    patch.setattr(trainer, "set_seed", lambda seed: seeded(seed + 1))


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
