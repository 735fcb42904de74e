"""Replaced rows stay until the new merge is current, and an opt-out finds old and new ones."""

from pathlib import Path

import pytest

from flows.erasure.steps.removed import remove
from flows.evidence.verification import verify
from flows.models.evaluate import evaluate_state
from flows.training.finetune import finetune_jobs, pending
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from tests.support.traces import tail, traces
from tests.support.workspaces import (
    CONTRIBUTORS,
    add,
    build_plainly,
    files,
    opt_out_plainly,
    request,
    reviews,
)

LEAVER, WRITER = CONTRIBUTORS[4], CONTRIBUTORS[2]


def needles(named: dict[str, Path]) -> dict[str, bytes]:
    """Bytes to know each of these files by."""
    return {name: tail(path.read_bytes()) for name, path in named.items()}


def kept(workspace: Workspace) -> list[Path]:
    """Every file of contributors in the workspace."""
    return [
        p
        for folder in (workspace.data, workspace.vectors, workspace.masks)
        for p in folder.iterdir()
    ]


def test_what_is_replaced_stays_until_the_new_merge_is_committed(built: Workspace) -> None:
    old = files(built, WRITER)

    add(built, reviews(WRITER, edition=1), replace=True)

    assert all(path.is_file() for path in old)
    assert verify(built).passed, "the merge is still of the old rows"
    known = needles({path.parent.name: path for path in old})
    build_plainly(built.root)
    assert not any(path.exists() for path in old)
    assert len(kept(built)) == 3 * len(CONTRIBUTORS)
    found = traces(built.root, known)
    assert {path.partition("/")[0] for paths in found.values() for path in paths} == {
        ".dvc",
        "remote",
    }, "history keeps it: replacing is no opt-out"
    with built.lineage.reader() as reader:
        first, second = reader.dataset_versions(built.key_of(WRITER))
    assert first.superseded_at is not None
    assert (first.destroyed_at, second.superseded_at) == (None, None)


@pytest.mark.slow
def test_an_opt_out_scores_members_on_the_rows_that_are_in_the_merge(built: Workspace) -> None:
    """Somebody's new rows wait for a build; no finetuning has seen them."""
    key = built.key_of(WRITER)

    def base_scores() -> dict[str, tuple[float, int]]:
        rows = evaluate_state(built, current_state(built))
        return {
            row.split: (row.value, row.row_count)
            for row in rows
            if (row.contributor_key, row.setting) == (key, "base")
        }

    before = base_scores()
    add(built, reviews(WRITER, edition=1)[:7], replace=True)
    opt_out_plainly(built.root, request(built, LEAVER).request_id)

    assert base_scores() == before
    build_plainly(built.root)
    assert base_scores() != before
    assert verify(built).passed


@pytest.mark.slow
def test_an_opt_out_between_finetuning_and_merging_takes_the_old_vector_out(
    built: Workspace,
) -> None:
    """The build was killed after it finetuned the leaver's new rows: both vectors are theirs."""
    named = {path.parent.name: path for path in files(built, LEAVER)}
    add(built, reviews(LEAVER, edition=1), replace=True)
    finetune_jobs(built, pending(built))
    mine = built.files_of(built.key_of(LEAVER))
    assert sorted(mine.values()) == sorted(2 * ["dataset", "mask", "vector"])
    known = needles(named) | needles({path.name: path for path in mine})

    request(built, LEAVER)
    opt_out_plainly(built.root)

    assert built.files_of(built.key_of(LEAVER)) == {}
    assert traces(built.root, known) == {}
    assert verify(built).passed


@pytest.mark.slow
def test_a_build_leaves_the_files_of_a_leaver_to_the_opt_out(built: Workspace) -> None:
    removal = request(built, LEAVER)
    remove([removal])
    theirs = built.files_of(removal.key)

    build_plainly(built.root)

    assert built.files_of(removal.key) == theirs
    opt_out_plainly(built.root)
    with built.lineage.reader() as reader:
        gone = {row.locator for row in reader.purge_objects(removal.request_id)}
    assert {path.relative_to(built.root).as_posix() for path in theirs} <= gone


def test_a_file_that_nobody_recorded_is_swept(built: Workspace) -> None:
    """A process killed between writing a vector and recording it leaves one."""
    _, vector, _ = files(built, WRITER)
    stray = vector.with_name(vector.name.replace(vector.stem[-6:], "000000"))
    stray.write_bytes(vector.read_bytes())

    build_plainly(built.root)

    assert not stray.exists()
    assert vector.is_file()
