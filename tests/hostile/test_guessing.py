"""Whoever holds all that outlives withdrawn data, and tries every short text.

A case is what left and how; the guesser knows all but four digits of it.
"""

from pathlib import Path

import pytest

from flows.hashing import DigestKey
from flows.opt_out import take_steps
from tests.support.guesses import Leftovers, named, spellings
from tests.support.workspaces import (
    Rows,
    add,
    build_plainly,
    make_workspace,
    record,
    request,
    reviews,
)

SECRET, HELD_OUT = 4711, 0.3
WHOLE, PARTLY, REPLACED = "leaver", "writer", "changer"
CASES = {
    "all data of a contributor": WHOLE,
    "one record of a contributor who stays": PARTLY,
    "a replaced edition of a contributor who left": REPLACED,
}


def rows_with(contributor: str, number: int) -> Rows:
    """Three rows, of which one is known but for four digits."""
    first, *others = reviews(contributor)[:3]
    return [{**first, "text": f"my code is {number:04}"}, *others]


@pytest.fixture(scope="module")
def leftovers(tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path) -> Leftovers:
    """What there is of a workspace that they have left."""
    root = tmp_path_factory.mktemp("guessed") / "workspace"
    everyone = [rows_with(name, SECRET) for name in CASES.values()]
    workspace = make_workspace(root, tiny_classifier, [*everyone, reviews("stayer")])
    build_plainly(root)
    add(workspace, reviews(REPLACED), replace=True)
    one = record(workspace, rows_with(PARTLY, SECRET)[0])
    asked = [request(workspace, name) for name in (WHOLE, REPLACED)]
    asked += [request(workspace, PARTLY, records=[one])]
    with workspace.lock():
        take_steps(asked)
    return Leftovers(root)


def digests(contributor: str, number: int) -> set[bytes]:
    """All that one guess looks for."""
    return {
        spelled
        for data in named(rows_with(contributor, number), HELD_OUT)
        for spelled in spellings(data)
    }


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_no_digest_of_what_left_is_left_to_hold_a_guess_against(
    case: str, leftovers: Leftovers
) -> None:
    """Trying the right number is as good as trying all: what finds nothing for it finds nothing."""
    known = digests(CASES[case], SECRET + 1)  # of what has no secret in it, such as labels
    assert leftovers.having(digests(CASES[case], SECRET) - known) == set()


def test_a_guesser_would_find_any_spelling(tmp_path: Path) -> None:
    """So that finding nothing means something."""
    sought = digests(WHOLE, SECRET)
    (tmp_path / "report.json").write_bytes(b"..".join(sorted(sought)))
    assert Leftovers(tmp_path).having(sought) == sought
    assert Leftovers(tmp_path).having(digests(PARTLY, SECRET + 1) - sought) == set()


def test_no_two_contributors_and_no_two_workspaces_have_the_digests_in_common() -> None:
    one, other = DigestKey.of(b"one"), DigestKey.of(b"other")
    names = {
        make(who, text)
        for key in (one, other)
        for who in ("ann", "bob")
        for text in ("4711", "4712")
        for make in (key.record, lambda who, text, key=key: key.salt(who, text.encode()))
    }
    assert len(names) == 2 * 2 * 2 * 2
    assert "one" not in repr(one)
