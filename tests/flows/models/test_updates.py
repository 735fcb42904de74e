"""A merge that is updated, however often and in whatever order, is the one a fresh build makes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from flows.erasure.steps.removed import remove
from flows.models.merge import merge_members
from flows.models.verify import verify_state
from flows.training.finetune import finetune_jobs, jobs, pending
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from tests.support.workspaces import (
    CONTRIBUTORS,
    Rows,
    add,
    files,
    finetune_and_merge,
    held,
    make_workspace,
    merge_bytes,
    opt_out_plainly,
    record,
    request,
    reviews,
    served_sha256,
)

FIRST, SECOND, THIRD = CONTRIBUTORS[:3]


class World:
    """A workspace that things happen to, and what a fresh build of its data would be given."""

    def __init__(self, workspace: Workspace) -> None:
        self.place = workspace
        self.editions = dict.fromkeys(CONTRIBUTORS, 0)
        self.withdrawn: set[str] = set()

    def add(self, name: str) -> None:
        add(self.place, reviews(name))
        self.editions[name] = 0

    def replace(self, name: str) -> None:
        self.editions[name] += 1
        add(self.place, reviews(name, edition=self.editions[name]), replace=True)

    def restore(self, name: str) -> None:
        self.editions[name] = 0
        add(self.place, reviews(name), replace=True)

    def leave(self, name: str) -> None:
        removal = request(self.place, name)
        remove([removal])
        del self.editions[name]

    def withdraw(self, name: str) -> None:
        """Two records of the rows they have now."""
        named = [record(self.place, row) for row in self._rows(name)[1:6:4]]
        opt_out_plainly(self.place.root, request(self.place, name, records=named).request_id)
        self.withdrawn.update(named)

    def _rows(self, name: str) -> Rows:
        rows = reviews(name, self.editions[name])
        return [row for row in rows if record(self.place, row) not in self.withdrawn]

    def build(self) -> None:
        finetune_and_merge(self.place)

    def fresh(self, root: Path, source: Path) -> Workspace:
        rows = [self._rows(name) for name in reversed(self.editions)]
        workspace = make_workspace(root, source, rows)
        finetune_and_merge(workspace)
        return workspace


SEQUENCES = {
    "everything at once": "add new; replace 0; leave 1; build",
    "one after another": "add new; build; replace 0; build; leave 1; replace new; build",
    "replaced before it was built, and back": "replace 0; replace 0; build; restore 0; build",
    "added and gone again": "add new; build; leave new; add other; leave 2; build",
    "records withdrawn, and later more, and new rows": (
        "withdraw 0; replace 1; withdraw 0; build; withdraw 1; add new; build; withdraw new"
    ),
    "leaves while their new rows wait": "replace 1; add new; leave 1; build; leave 0",
}


QUICK = "everything at once"
"""What the default tests run; the others are slow ones."""


@pytest.mark.parametrize(
    "sequence",
    [pytest.param(name, marks=() if name == QUICK else pytest.mark.slow) for name in SEQUENCES],
)
def test_any_sequence_of_changes_ends_in_the_bytes_of_a_fresh_build(
    built: Workspace, tmp_path: Path, tiny_classifier: Path, sequence: str
) -> None:
    world = World(built)
    for step in SEQUENCES[sequence].split("; "):
        what, *who = step.split()
        getattr(world, what)(*(CONTRIBUTORS[int(w)] if w.isdigit() else w for w in who))

    fresh = world.fresh(tmp_path / "fresh", tiny_classifier)
    assert merge_bytes(built) == merge_bytes(fresh)
    assert served_sha256(built) == served_sha256(fresh)
    for name in world.editions:
        assert held(built, name) == held(fresh, name)
    state = current_state(built)
    assert state.how in ("update", "opt-out")
    assert state.parent_seq == state.state_seq - 1
    assert verify_state(built).passed


def finetuned(workspace: Workspace, names: Sequence[str]) -> None:
    """New rows of contributors, finetuned and not merged."""
    for name in names:
        add(workspace, reviews(name, edition=1), replace=True)
    finetune_jobs(workspace, pending(workspace))


def test_an_update_reads_what_changes_and_nothing_else(built: Workspace) -> None:
    finetuned(built, [FIRST])
    files(built, SECOND)[1].unlink()

    state = merge_members(built, jobs(built))

    assert state.how == "update"


def damage_the_state(workspace: Workspace) -> None:
    workspace.state_file(current_state(workspace).state_sha256).write_bytes(b"damaged")


def damage_the_old_vector(workspace: Workspace) -> None:
    files(workspace, FIRST)[1].unlink()


@pytest.mark.parametrize("damage", [damage_the_state, damage_the_old_vector])
def test_where_nothing_can_be_subtracted_the_sum_is_made_afresh(
    built: Workspace, damage: object
) -> None:
    finetuned(built, [FIRST])
    assert callable(damage)
    damage(built)

    state = merge_members(built, jobs(built))

    assert (state.how, state.parent_seq) == ("rebuild", None)
    assert verify_state(built).passed


def test_where_most_has_changed_the_sum_is_made_afresh(built: Workspace) -> None:
    finetuned(built, CONTRIBUTORS[:6])

    assert merge_members(built, jobs(built)).how == "rebuild"
