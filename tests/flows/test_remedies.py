"""Where something stops a request, its remedy works: each is done as it says, and the request ends.

A case is the state that stops it, words of the error, and what the error says to do. To add one,
add a line to `CASES`.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.auditing import CHECKS, look
from flows.decisions import approve, reject
from flows.errors import FlowError
from flows.opt_out import open_requests
from flows.stocktaking import Stock
from flows.workspace import Workspace
from lineage import LineageError
from sift_core import SiftCoreError
from tests.flows.kept import LEAVER, STAYER, Both
from tests.flows.test_build import change
from tests.flows.workspaces import (
    build_plainly,
    files,
    lose_rows,
    opt_out_plainly,
    record,
    request,
    reviews,
)

pytestmark = pytest.mark.slow  # each is an opt-out, some a build too

Change = Callable[[Workspace], object]


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


def checkout(what: str) -> Change:
    """`dvc checkout --force WHAT`, as the remedy says."""

    def run(place: Workspace) -> None:
        dvc = Path(sys.executable).with_name("dvc")
        subprocess.run([dvc, "checkout", "--force", what], cwd=place.root, check=True)

    return run


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
    remedy: Change
    keep: str = "vectors"
    records: bool = False


CASES = [
    Case("settings, set back", other_rate, "set it back", rate_back, records=True),
    Case("settings, built first", other_rate, "run `sift build` first", build, records=True),
    Case("settings, masks only", other_rate, "set finetune.learning_rate back", rate_back, "masks"),
    Case("digest seed", other_grid, "set exactness.digest_seed back", grid_back),
    Case("model renamed", other_name, "set model.name back", name_back),
    Case("approver gone", other_approvers, "sift opt-out approve", approve_again),
    Case(
        "rows lost",
        lambda p: lose_rows(p, LEAVER),
        "without --records",
        withdraw_all,
        "vectors",
        True,
    ),
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
    Case("no signing key", key_away, "key", key_back),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_the_error_says_ends_the_request(case: Case, _both: Both) -> None:
    place = (_both.masks if case.keep == "masks" else _both.vectors).restore()
    file(place, case)
    case.stop(place)
    with pytest.raises((FlowError, LineageError, SiftCoreError)) as stopped:
        run(place.root)
    assert case.said in stopped.value.remedy

    case.remedy(Workspace.open(place.root))
    run(place.root)

    place = Workspace.open(place.root)
    assert open_requests(place) == []
    stock = Stock(place)
    assert [finding for name in CHECKS for finding in look.fn(stock, name).findings] == []


def file(place: Workspace, case: Case) -> None:
    """File and approve the request."""
    rows = [record(place, row) for row in reviews(LEAVER)[:3]] if case.records else None
    request(place, LEAVER, records=rows)


def run(root: Path) -> None:
    """`sift opt-out run`, of what is open."""
    opt_out_plainly(root, open_requests(Workspace.open(root))[0])
