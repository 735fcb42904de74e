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


def other_rate(workspace: Workspace) -> None:
    change(workspace, "learning_rate: 0.01", "learning_rate: 0.02")


def rate_back(workspace: Workspace) -> None:
    change(workspace, "learning_rate: 0.02", "learning_rate: 0.01")


def other_grid(workspace: Workspace) -> None:
    change(workspace, "digest_seed: 4626", "digest_seed: 4627")


def grid_back(workspace: Workspace) -> None:
    change(workspace, "digest_seed: 4627", "digest_seed: 4626")


def other_name(workspace: Workspace) -> None:
    change(workspace, "name: films", "name: movies")


def name_back(workspace: Workspace) -> None:
    change(workspace, "name: movies", "name: films")


def other_approvers(workspace: Workspace) -> None:
    change(workspace, "approvers: []", "approvers: [the new officer]")


def approve_again(workspace: Workspace) -> None:
    approve(workspace, open_requests(workspace)[0], "the new officer", "identity proven")


def build(workspace: Workspace) -> None:
    build_plainly(workspace.root)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"\0\0")


def dvc(workspace: Workspace, *words: str) -> None:
    """What a person types."""
    program = Path(sys.executable).with_name("dvc")
    subprocess.run([program, *words], cwd=workspace.root, check=True)


def checkout(what: str) -> Change:
    """`dvc checkout --force WHAT`, as the remedy says."""
    return lambda workspace: dvc(workspace, "checkout", "--force", what)


def base_gone(workspace: Workspace) -> None:
    shutil.rmtree(workspace.base)


def base_damaged(workspace: Workspace) -> None:
    damage(workspace.base / "model.safetensors")


def base_unnamed(workspace: Workspace) -> None:
    (workspace.root / "base.json").unlink()


def base_named_again(workspace: Workspace) -> None:
    subprocess.run(["git", "checkout", "HEAD", "--", "base.json"], cwd=workspace.root, check=True)


def mask_lost(who: str) -> Change:
    """A mask of which nobody has a copy."""

    def go(workspace: Workspace) -> None:
        mask = files(workspace, who)[2]
        lose(workspace, mask, hashlib.md5(mask.read_bytes(), usedforsecurity=False).hexdigest())

    return go


def rows_lost(workspace: Workspace) -> None:
    lose_rows(workspace, LEAVER)


def give_rows_again(workspace: Workspace) -> None:
    """Reject it, add rows, finetune everybody anew, file it again."""
    reject(workspace, open_requests(workspace)[0], "the privacy officer", "rows are lost")
    add(workspace, reviews(LEAVER), replace=True)
    other_seed(workspace)
    request(Workspace.open(workspace.root), LEAVER)


def rows_lost_of_stayer(workspace: Workspace) -> None:
    lose_rows(workspace, STAYER)


def rows_of_stayer(workspace: Workspace) -> None:
    add(workspace, reviews(STAYER), replace=True)


def merge_lost(workspace: Workspace) -> None:
    (state,) = workspace.merge.iterdir()
    lose(workspace, state, hashlib.md5(state.read_bytes(), usedforsecurity=False).hexdigest())


def remote_gone(workspace: Workspace) -> None:
    shutil.rmtree(workspace.root / "remote")


def another_remote(workspace: Workspace) -> None:
    folder = workspace.root / "another remote"
    folder.mkdir()
    dvc(workspace, "remote", "modify", "storage", "url", str(folder))


def other_seed(workspace: Workspace) -> None:
    seed = "seed: {}                    # the same"
    build(change(workspace, seed.format(0), seed.format(7)))


def law_gone(workspace: Workspace) -> None:
    """The law that the request falls under is no more in the policy."""
    path = workspace.root / "params.yaml"
    lines = path.read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("    gdpr: {"))
    path.write_text(text.replace("jurisdiction: gdpr", "jurisdiction: ccpa"))


def mlflow_rows_gone(workspace: Workspace) -> None:
    let_go_of_databases()
    (workspace.root / "mlflow.db").unlink()


def mlflow_gone(workspace: Workspace) -> None:
    mlflow_rows_gone(workspace)
    mlflow_files_gone(workspace)


def mlflow_files_gone(workspace: Workspace) -> None:
    shutil.rmtree(workspace.root / "mlruns")


def champion_deleted(workspace: Workspace) -> None:
    MlflowClient(workspace.mlflow.tracking_uri).delete_model_version("films", "1")


def model_deleted(workspace: Workspace) -> None:
    MlflowClient(workspace.mlflow.tracking_uri).delete_registered_model("films")


def built_in_the_future(workspace: Workspace) -> None:
    """By a clock that was a month ahead and is right by now."""
    add(workspace, reviews("newcomer"))
    with Patch.context() as wrong:
        clock(days=30)(wrong)
        build(workspace)


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


def disk_full(patch: Patch, module: object = register, name: str = "save_version") -> None:
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


def key_away(workspace: Workspace) -> None:
    keys = workspace.root / ".sift" / "keys"
    shutil.move(keys, workspace.root.with_name("keys"))


def key_back(workspace: Workspace) -> None:
    shutil.move(workspace.root.with_name("keys"), workspace.root / ".sift" / "keys")


def withdraw_all(workspace: Workspace) -> None:
    """The rows are gone, so nothing can be left of them."""
    reject(workspace, open_requests(workspace)[0], "the privacy officer", "rows are lost")
    request(workspace, LEAVER)
