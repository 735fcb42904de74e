"""Where something stops a request, its remedy works: each is done as it says, and the request ends.

A case is the state that stops it, words of the error, and what the error says to do. To add one,
add a line to `CASES`; or to `STOPS_NOTHING`, where the request ends all the same.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.audit import look
from flows.erasure.request import open_requests
from flows.erasure.set_aside import OWN_ERRORS, in_words
from flows.erasure.steps import reported
from flows.evidence.audit_checks import CHECKS
from flows.evidence.certificates import check_certificates
from flows.evidence.inventory import Stock
from flows.workspace.workspace import Workspace
from tests.support.kept import LEAVER, STAYER, Both
from tests.support.mishaps import (
    Change,
    Patch,
    World,
    another_machine,
    another_remote,
    approve_again,
    base_damaged,
    base_gone,
    base_named_again,
    base_unnamed,
    build,
    built_in_the_future,
    champion_deleted,
    checkout,
    damage,
    disk_full,
    give_rows_again,
    grid_back,
    key_away,
    key_back,
    law_gone,
    mask_lost,
    merge_lost,
    mlflow_files_gone,
    mlflow_gone,
    mlflow_rows_gone,
    model_deleted,
    name_back,
    nothing,
    other_approvers,
    other_grid,
    other_name,
    other_rate,
    other_seed,
    rate_back,
    remote_gone,
    rows_lost,
    rows_lost_of_stayer,
    rows_of_stayer,
    withdraw_all,
)
from tests.support.workspaces import files, opt_out_plainly, record, request, reviews

pytestmark = pytest.mark.slow  # each is an opt-out, some a build too


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
        lambda workspace: damage(files(workspace, STAYER)[1]),
        "dvc checkout",
        checkout("vectors"),
    ),
    Case(
        "the merge state",
        lambda workspace: damage(next(workspace.merge.iterdir())),
        "dvc checkout",
        checkout("merge"),
    ),
    Case("rows lost, masks only", rows_lost, "another finetune.seed", give_rows_again, "masks"),
    Case("a stayer's rows", rows_lost_of_stayer, "sift contributors add", rows_of_stayer),
    Case("the merge state, lost", merge_lost, "run `sift build`", build),
    Case("the merge state, lost, masks only", merge_lost, "finetune.seed", other_seed, "masks"),
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
    workspace = restored(_both, case)
    file(workspace, case)
    case.stop(workspace)
    case.world(monkeypatch)
    with pytest.raises((*OWN_ERRORS, OSError)) as stopped:
        run(workspace.root)
    assert case.said in in_words(stopped.value)[1]

    if case.remedy is None:
        monkeypatch.undo()
    else:
        case.remedy(Workspace.open(workspace.root))
    run(workspace.root)

    require_ended(workspace.root)


@pytest.mark.parametrize("mishap", STOPS_NOTHING, ids=lambda mishap: mishap.name)
def test_what_stops_nothing(mishap: Mishap, _both: Both, monkeypatch: Patch) -> None:
    workspace = restored(_both, mishap)
    file(workspace, mishap)
    mishap.befall(workspace)
    mishap.world(monkeypatch)

    run(workspace.root)

    require_ended(workspace.root)


def test_a_version_that_is_lost_before_the_end_stops_nothing(
    _both: Both, monkeypatch: Patch
) -> None:
    workspace = _both.vectors.restore()
    request(workspace, LEAVER)
    with monkeypatch.context() as patch:
        disk_full(patch, reported, "end_request")
        with pytest.raises(OSError, match="No space"):
            run(workspace.root)
    mlflow_gone(workspace)

    run(workspace.root)

    assert open_requests(workspace) == []
    assert len(check_certificates(workspace)) == 1


def restored(both: Both, case: Case | Mishap) -> Workspace:
    """The workspace that a case is about, as built."""
    return (both.masks if case.keep == "masks" else both.vectors).restore()


def file(workspace: Workspace, case: Case | Mishap) -> None:
    """File and approve the request."""
    rows = [record(workspace, row) for row in reviews(LEAVER)[:3]] if case.records else None
    request(workspace, LEAVER, records=rows)


def run(root: Path) -> None:
    """`sift opt-out run`, of what is open."""
    opt_out_plainly(root, open_requests(Workspace.open(root))[0])


def require_ended(root: Path) -> None:
    """Nothing is open, and an audit finds nothing."""
    workspace = Workspace.open(root)
    assert open_requests(workspace) == []
    stock = Stock(workspace)
    assert [finding for name in CHECKS for finding in look.fn(stock, name).findings] == []
