"""Every erasure target is what plan, purge, report, doctor and audit take it for."""

from collections import Counter

import pytest

from flows.erasure.targets import LABELS, TARGETS, Needed, Scope, Target
from flows.workspace.workspace import Workspace

KINDS = pytest.mark.parametrize("kind", TARGETS, ids=lambda kind: kind.__name__)


def test_no_two_targets_have_a_place_or_a_label_in_common() -> None:
    places = Counter(place for target in TARGETS for place in target.labels)
    assert places.total() == len(places) == len(set(LABELS.values()))


@KINDS
def test_a_target_finds_nothing_where_nobody_is(kind: type[Target], fresh: Workspace) -> None:
    target = kind(Scope(fresh, Needed(fresh)))
    target.reach()
    assert target.find([], {}) == {}
    assert list(target.still_there([])) == []
