"""What is published of members' quality tells nobody's own."""

import csv
from datetime import UTC, datetime
from io import StringIO
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.cli.build import quality_rows
from flows.cli.render import quality
from flows.models.measures import MARGIN, SETTINGS, SPLITS
from flows.models.metrics import DECIMALS, Group, aggregate, groups
from flows.workspace.settings import EvaluateSettings
from lineage import EvaluationRecord, Member
from tests.support.population import key, sha

SMALLEST = EvaluateSettings().smallest_group


def members(count: int) -> list[Member]:
    return [
        Member(
            contributor_key=key(f"member {number}"),
            external_id=None,
            run_id=sha(f"run {number}"),
            vector_sha256=sha(f"vector {number}"),
            mask_sha256=sha(f"mask {number}"),
            vector_md5=sha(f"vector {number}")[:32],
            mask_md5=sha(f"mask {number}")[:32],
        )
        for number in range(count)
    ]


def rows(scores: list[float]) -> list[EvaluationRecord]:
    return [
        EvaluationRecord(
            state_seq=1,
            contributor_key=member.contributor_key,
            setting=setting,
            split=split,
            metric="accuracy",
            value=score,
            row_count=3,
            evaluated_at=datetime(2026, 3, 1, tzinfo=UTC),
        )
        for member, score in zip(members(len(scores)), scores, strict=True)
        for setting in SETTINGS
        for split in SPLITS
    ]


def published(scores: list[float]) -> list[float]:
    """Every number of quality that is written anywhere, always in the same places."""
    who, said = members(len(scores)), rows(scores)
    table = list(csv.reader(StringIO(groups(who, said, SMALLEST))))[1:]
    found = [
        value
        for name, value in sorted(aggregate(who, said, SMALLEST).items())
        if not name.endswith(MARGIN)
    ]
    return found + [float(cell) for line in table for cell in line[2:]]


@pytest.mark.parametrize("count", range(1, 61))
def test_no_member_moves_a_published_number_by_more_than_their_share(count: int) -> None:
    """So none is of fewer members, an extreme, or somebody's own value."""
    random = Random(count)  # noqa: S311  not for secrets
    scores = [random.random() for _ in range(count)]
    before = published(scores)
    assert bool(before) is (count >= SMALLEST)
    for number in range(count):
        for other in (0.0, 1.0):
            moved = [other if n == number else score for n, score in enumerate(scores)]
            after = published(moved)
            assert len(after) == len(before)
            for one, two in zip(before, after, strict=True):
                assert abs(one - two) <= 1 / SMALLEST + 10**-DECIMALS


@given(st.integers(1, 400))
def test_groups_are_of_enough_members_and_of_all(count: int) -> None:
    table = groups(members(count), rows([0.5] * count), SMALLEST).splitlines()[1:]
    assert len(table) == min(10, count // SMALLEST)
    deciles = [
        name
        for name in aggregate(members(count), rows([0.5] * count), SMALLEST)
        if name.endswith("worst_decile")
    ]
    assert bool(deciles) is (count // 10 >= SMALLEST)


@pytest.mark.parametrize(
    ("scored", "unread"), [(0, 30), (1, 19), (9, 30), (10, 10), (19, 25), (35, 5)]
)
def test_who_has_no_held_out_row_that_can_be_read_counts_for_no_group(
    scored: int, unread: int
) -> None:
    """Their numbers are of fewer members than the merge has, of none at all, but never made up."""
    who = members(scored + unread)
    said = [
        row
        for row in rows([0.5] * (scored + unread))
        if row.split == "held_in"
        or row.contributor_key in {m.contributor_key for m in who[:scored]}
    ]
    lines = list(csv.reader(StringIO(groups(who, said, SMALLEST))))[1:]
    assert len(lines) == min(10, scored // SMALLEST)
    assert all(cell == "0.50" for line in lines for cell in line[2:])
    published = aggregate(who, said, SMALLEST)
    assert ("masked.held_out.accuracy.mean" in published) is (scored >= SMALLEST)
    assert ("masked.held_in.accuracy.mean" in published) is (len(who) >= SMALLEST)
    assert all(value == (0 if name.endswith(MARGIN) else 0.5) for name, value in published.items())


def test_a_published_number_is_printed_with_the_decimals_that_it_has() -> None:
    assert quality(0.7) == f"{0.7:.{DECIMALS}f}"
    found = {
        "merged.held_in.accuracy.mean": 0.71,
        "merged.held_in.accuracy.mean_margin": 0.05,
        "masked.held_out.accuracy.mean": 0.9,
        "masked.held_out.accuracy.mean_margin": 0.0,
        "base.held_out.perplexity.mean": 14.5,
    }
    assert quality_rows(found) == [
        ("merged", "accuracy", "0.71 ± 0.05", None),
        ("masked", "accuracy", None, "0.90"),
        ("base", "perplexity", None, "14.50"),
    ]


def test_the_worst_of_a_perplexity_is_the_highest() -> None:
    """Of 100 members the ten worst; the one is 0.1 to 10, the other 1 to 100."""
    scores = [n / 10 for n in range(1, 101)]
    accurate = rows(scores)
    perplexed = [
        row.model_copy(update={"metric": "perplexity", "value": 10 * row.value}) for row in accurate
    ]
    found = aggregate(members(100), [*accurate, *perplexed], SMALLEST)
    assert found["masked.held_out.accuracy.worst_decile"] == 0.55  # (0.1 + … + 1.0) / 10
    assert found["masked.held_out.perplexity.worst_decile"] == 95.5
    lines = list(csv.reader(StringIO(groups(members(100), [*accurate, *perplexed], SMALLEST))))
    assert [line[1] for line in lines] == ["metric", *["accuracy"] * 10], "shares alone"
    assert [float(cell) for cell in lines[1][2:]] == [0.55] * 3


def test_fewer_than_ten_is_no_setting() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 10"):
        EvaluateSettings(smallest_group=9)


def test_the_interval_holds_what_everybody_would_give_nineteen_times_of_twenty() -> None:
    """Of the mean and of the worst tenth, whoever is drawn."""
    random = np.random.default_rng(3)
    population = np.sort(random.beta(4, 2, size=1000))
    for share, truth in ((1.0, population.mean()), (0.1, population[:100].mean())):
        held = 0
        for _ in range(2000):
            drawn = np.sort(random.choice(population, 200, replace=False))
            group = Group(drawn[: round(200 * share)], share, 0.2)
            held += abs(group.mean - truth) <= group.margin
        assert 0.93 <= held / 2000 <= 0.97, (share, held)


def test_where_everybody_was_scored_nothing_is_uncertain() -> None:
    found = aggregate(members(40), rows([n / 40 for n in range(40)]), SMALLEST)
    assert found["masked.held_out.accuracy.mean"] == 0.49
    assert {value for name, value in found.items() if name.endswith(MARGIN)} == {0.0}


def test_where_some_were_scored_every_mean_has_its_margin() -> None:
    """40 of 160: 1.96… × s / √40 × √(3/4)."""
    found = aggregate(members(160), rows([n / 40 for n in range(40)]), SMALLEST)
    means = {name for name in found if not name.endswith(MARGIN)}
    assert means and {name + MARGIN for name in means} == found.keys() - means
    assert found["masked.held_out.accuracy.mean_margin"] == 0.08
