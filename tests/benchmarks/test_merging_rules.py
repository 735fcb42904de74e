"""Each rule against a tiny example that was worked by hand from its paper's definition."""

import numpy as np
import pytest

from benchmarks import merging_rules as rules
from benchmarks.merging_rules import Vector


def vector(*entries: float) -> Vector:
    return np.array(entries, dtype=np.float32)


THREE = [vector(3, -1, 0, 2), vector(1, 2, -4, 0), vector(-2, 1, 1, 1)]
"""Their sum is (2, 2, −3, 3)."""


def test_the_total_is_the_sum() -> None:
    assert rules.total(THREE).tolist() == [2, 2, -3, 3]


def test_the_trim_threshold_is_the_smallest_magnitude_that_is_kept() -> None:
    assert rules.trim_threshold(vector(-5, 1, 3, -2), keep=0.5) == 3
    assert rules.trim_threshold(vector(-5, 1, 3, -2), keep=0.01) == 5, "one entry at least"


def test_ties_averages_only_the_kept_entries_that_agree_with_the_elected_sign() -> None:
    # Half of each: (3, 0, 0, 2), (0, 2, −4, 0), (−2, 1, 1, 1): of the third's three ones all tie.
    # Their sum (1, 3, −3, 3) elects + + − +.
    # Agreeing means: 3 alone; (2 + 1)/2; −4 alone; (2 + 1)/2.
    assert rules.ties(THREE, keep=0.5).tolist() == [3, 1.5, -4, 1.5]


def test_ties_is_zero_where_nothing_is_kept_or_the_signs_cancel() -> None:
    assert rules.ties([vector(1, 4), vector(-1, 0)], keep=1).tolist() == [0, 4]


def test_a_tall_mask_keeps_the_entries_that_outweigh_what_the_others_add() -> None:
    summed = rules.total(THREE)
    # |τ_1| = (3, 1, 0, 2), |S − τ_1| = (1, 3, 3, 1).
    assert rules.tall_mask(THREE[0], summed, 1.0).tolist() == [True, False, False, True]
    assert rules.tall_mask(THREE[0], summed, 0.3).tolist() == [True, True, False, True]


def test_a_consensus_mask_keeps_the_entries_that_enough_tall_masks_keep() -> None:
    # By hand, λ = 1: task 1 keeps (1, 0, 0, 1); task 2, |τ| = (1, 2, 4, 0) against (1, 0, 1, 3),
    # keeps (1, 1, 1, 0); task 3, (2, 1, 1, 1) against (4, 1, 4, 2), keeps (0, 1, 0, 0).
    summed = rules.total(THREE)
    assert rules.consensus_mask(THREE, summed, 1.0).tolist() == [True, True, False, False]
    assert rules.consensus_mask(THREE, summed, 1.0, tasks=1).tolist() == [True] * 4


def test_emr_elects_the_sign_of_the_sum_and_the_largest_magnitude_that_agrees() -> None:
    # Signs of (2, 2, −3, 3); the largest that agree are 3, 2, 4, 2.
    assert rules.emr_unified(THREE).tolist() == [3, 2, -4, 2]


def test_emr_serves_the_unified_entries_that_agree_rescaled_to_the_tasks_own_size() -> None:
    # Task 3 = (−2, 1, 1, 1) agrees at entries 2 and 4: (0, 2, 0, 2), sum 4; its own sum is 5.
    served = rules.emr_served(THREE[2], rules.emr_unified(THREE))
    assert served.tolist() == pytest.approx([0, 2.5, 0, 2.5])


def test_emr_serves_the_base_to_a_task_that_agrees_nowhere() -> None:
    assert rules.emr_served(vector(-1, 1), vector(2, -2)).tolist() == [0, 0]


@pytest.mark.parametrize("rule", [rules.total, rules.ties, rules.emr_unified])
def test_merging_one_vector_gives_it_back(rule: object) -> None:
    alone = [vector(3, -1, 0.5, 2)]
    merged = rule(alone) if rule is not rules.ties else rules.ties(alone, keep=1)  # type: ignore[operator]
    assert merged.tolist() == alone[0].tolist()


@pytest.mark.parametrize("rule", [rules.total, rules.ties, rules.emr_unified])
def test_no_rule_changes_the_vectors_it_is_given(rule: object) -> None:
    before = [entries.copy() for entries in THREE]
    rule(THREE)  # type: ignore[operator]
    assert all((a == b).all() for a, b in zip(before, THREE, strict=True))
