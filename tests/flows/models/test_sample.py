"""Whoever is scored is scored again: before somebody leaves and after."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from flows.models.sample import sample
from tests.support.population import key


@dataclass(frozen=True)
class Someone:
    contributor_key: str


def people(count: int) -> list[Someone]:
    return [Someone(key(f"person {number}")) for number in range(count)]


@given(st.integers(0, 120), st.integers(1, 60), st.randoms())
def test_it_is_of_that_many_and_no_matter_of_order(count: int, wanted: int, random: object) -> None:
    everybody = people(count)
    drawn = sample(everybody, wanted)
    assert len(drawn) == min(count, wanted)
    random.shuffle(everybody)  # type: ignore[attr-defined]
    assert sample(everybody, wanted) == drawn


@given(st.integers(2, 120), st.integers(1, 60), st.integers(0, 119))
def test_who_leaves_changes_one_place_at_most(count: int, wanted: int, number: int) -> None:
    everybody = people(count)
    leaver = everybody[number % count]
    before = sample(everybody, wanted)
    after = sample([one for one in everybody if one != leaver], wanted)
    assert set(before) - {leaver} <= set(after)
    assert len(set(after) - set(before)) <= (leaver in before)


def test_everybody_is_drawn_as_often() -> None:
    """Over many populations the first of the keys is drawn as often as the last."""
    drawn = [0] * 10
    for trial in range(400):
        everybody = sorted(
            (Someone(key(f"{trial} {number}")) for number in range(10)),
            key=lambda one: one.contributor_key,
        )
        for one in sample(everybody, 3):
            drawn[everybody.index(one)] += 1
    assert all(85 <= times <= 155 for times in drawn), drawn  # 120 ± 3.8 standard deviations
