"""The claim of the house: who leaves is gone as if they had never come, to the last bit."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sift_core
from flows.erasure.steps.removed import remove
from flows.models.merge import stored_vector
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from sift_core import MergeState, TaskVector
from tests.support.prefect_runs import build_by_flow, opt_out_by_flow
from tests.support.workspaces import (
    CONTRIBUTORS,
    Snapshot,
    add,
    finetune_and_merge,
    make_workspace,
    merge_bytes,
    request,
    reviews,
    served_sha256,
)


@pytest.mark.parametrize(
    "leaver",
    [
        # An ordinary contributor and one of the twins by default, everybody in the slow tests.
        pytest.param(name, marks=() if at in (0, 11) else pytest.mark.slow)
        for at, name in enumerate(CONTRIBUTORS)
    ],
)
def test_removing_anyone_leaves_what_a_fresh_build_without_them_makes(
    built: Workspace, tmp_path: Path, tiny_classifier: Path, leaver: str
) -> None:
    stayers = [contributor for contributor in reversed(CONTRIBUTORS) if contributor != leaver]
    fresh = make_workspace(
        tmp_path / "fresh", tiny_classifier, [[row for c in stayers for row in reviews(c)]]
    )
    finetune_and_merge(fresh)

    removal = request(built, leaver)
    remove([removal])

    assert merge_bytes(built) == merge_bytes(fresh)
    assert served_sha256(built) == served_sha256(fresh)


@pytest.mark.slow
def test_flows_that_add_and_remove_end_in_the_bytes_of_a_fresh_build(
    built: Workspace, tmp_path: Path, tiny_classifier: Path
) -> None:
    add(built, reviews("newcomer"))
    for leaver in CONTRIBUTORS[3:5]:
        opt_out_by_flow(built, request(built, leaver).request_id)
    result = build_by_flow(built)
    opt_out_by_flow(built, request(built, CONTRIBUTORS[8]).request_id)

    stayers = [c for c in CONTRIBUTORS if c not in (*CONTRIBUTORS[3:5], CONTRIBUTORS[8])]
    fresh = make_workspace(
        tmp_path / "fresh", tiny_classifier, map(reviews, ["newcomer", *reversed(stayers)])
    )
    finetune_and_merge(fresh)
    assert result.contributors == 11
    assert merge_bytes(built) == merge_bytes(fresh)
    with built.lineage.reader() as reader:
        champion = reader.champion("films")
    assert champion is not None
    assert champion.served_sha256 == served_sha256(fresh)


@pytest.fixture(scope="module")
def vectors(_built: Snapshot) -> list[TaskVector]:
    """The stored task vectors of the twelve."""
    workspace = _built.restore()
    with workspace.lineage.reader() as reader:
        members = reader.members(current_state(workspace).state_seq)
    return [
        sift_core.read_vector(
            stored_vector(workspace, row.contributor_key, row.vector_sha256, row.mask_sha256)
        )
        for row in members
    ]


@settings(max_examples=40)
@given(toggles=st.lists(st.integers(0, len(CONTRIBUTORS) - 1), max_size=30), order=st.randoms())
def test_additions_and_removals_in_any_order_end_in_the_sum_of_who_is_left(
    vectors: list[TaskVector], toggles: Sequence[int], order: random.Random
) -> None:
    shapes, seed = vectors[0].mask.shapes, vectors[0].mask.sign_seed
    state = MergeState.zero(shapes, vectors[0].grid, seed)
    members: set[int] = set()
    for who in toggles:
        state = state.subtract(vectors[who]) if who in members else state.add(vectors[who])
        members ^= {who}

    left = list(members)
    order.shuffle(left)
    fresh = MergeState.rebuild((vectors[who] for who in left), shapes, vectors[0].grid, seed)

    assert state.to_bytes() == fresh.to_bytes()


def test_every_contributor_moves_the_merge(vectors: list[TaskVector]) -> None:
    """Without this, removing somebody would prove nothing."""
    distinct = {vector.to_bytes() for vector in vectors}
    assert all(vector.mask.nonzero > 1000 for vector in vectors)
    assert len(distinct) == len(CONTRIBUTORS) - 1  # the twins are one
