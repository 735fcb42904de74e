"""One person under two spellings, one who left under another, and ids that pass for something else.

Ids that look alike are never taken for two people without a word, nor for one.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.data.look_alikes import LookAlikeError, erased_likenesses, look_alikes
from flows.erasure.filing import receive
from flows.errors import UsageError
from flows.training.intake import add_contributors
from flows.workspace.identity import contributor_key, normal_id
from flows.workspace.likeness import forms, likenesses
from flows.workspace.workspace import Workspace
from lineage import ContributorRecord
from tests.support.sift import Sift
from tests.support.workspaces import BASIS, add, make_workspace, reviews

CASES: dict[str, tuple[str, str]] = {
    "capitals": ("ann@example.org", "Ann@Example.org"),
    "all capitals": ("ann@example.org", "ANN@EXAMPLE.ORG"),
    "Cyrillic": ("ann@example.org", "аnn@exаmple.org"),
    "Cyrillic capitals": ("ann", "АNN"),
    "a Cyrillic capital alone": ("mark", "Мark"),
    "Greek": ("nikos", "nikοs"),
    "wide letters": ("ann", "ａｎｎ"),
    "mathematical letters": ("ann", "𝐚𝐧𝐧"),
    "a ligature": ("finn", "ﬁnn"),
    "one for l": ("paul", "pau1"),
    "I for l": ("paul", "pauI"),
    "zero for o": ("bob", "b0b"),
    "zero for O": ("Bob", "B0b"),
    "rn for m": ("mark", "rnark"),
    "sharp s": ("strauß", "STRAUSS"),
    "final sigma": ("νίκος", "ΝΊΚΟΣ"),
    "dotless i": ("ali", "alı"),
    "digits of other scripts": ("user 10", "user １０"),
    "a hyphen": ("jean-luc", "JEAN-LUC"),
    "superscript": ("user2", "user²".replace("²", "２")),
}
APART = [
    ("ann", "anna"),
    ("reader 01", "reader 10"),
    ("ail", "all"),
    ("zoe", "zoë"),
    ("a-b", "a_b"),
]
SECRET = bytes(32)


@pytest.mark.parametrize("case", CASES)
def test_two_spellings_of_one_person_look_alike(case: str) -> None:
    one, other = CASES[case]
    assert contributor_key(SECRET, one) != contributor_key(SECRET, other)
    assert likenesses(SECRET, one) & likenesses(SECRET, other)
    assert not likenesses(SECRET, one) & likenesses(bytes(31) + b"1", other)


@pytest.mark.parametrize("pair", APART)
def test_who_is_told_apart_at_a_glance_looks_different(pair: tuple[str, str]) -> None:
    assert not likenesses(SECRET, pair[0]) & likenesses(SECRET, pair[1])


def is_id(text: str) -> bool:
    try:
        normal_id(text)
    except UsageError:
        return False
    return True


LETTERS = st.characters(categories=["L", "Nd"]) | st.sampled_from("abcIlO01._@+:=-")
IDS = st.text(LETTERS, min_size=1, max_size=20).filter(is_id)


@given(IDS)
def test_changing_case_changes_no_likeness(text: str) -> None:
    for other in (text.casefold(), text.swapcase(), text.upper()):
        if is_id(other) and other.casefold() == text.casefold():
            assert likenesses(SECRET, text) & likenesses(SECRET, other)


@pytest.mark.slow
def test_every_character_has_one_form_that_looks_like_itself() -> None:
    """All of Unicode: what it is drawn like is never drawn like yet another thing."""
    for char in map(chr, range(sys.maxunicode + 1)):
        for form in forms(char):
            assert forms(form) & forms(char), ascii(char)


@pytest.fixture
def workspace(tmp_path: Path, tiny_classifier: Path) -> Workspace:
    return make_workspace(tmp_path / "films", tiny_classifier, [])


def refused(workspace: Workspace, *names: str) -> LookAlikeError:
    with pytest.raises(LookAlikeError) as caught:
        add(workspace, [row for name in names for row in reviews(name)])
    assert "Nothing was added" in caught.value.remedy
    return caught.value


def names(workspace: Workspace) -> set[str | None]:
    with workspace.lineage.reader() as reader:
        return {row.external_id for row in reader.contributors()}


def test_who_looks_like_somebody_is_refused_until_somebody_says_that_they_are_two(
    workspace: Workspace, tmp_path: Path
) -> None:
    add(workspace, reviews("ann@example.org"))
    for name in ("Ann@Example.org", "аnn@example.org"):
        error = refused(workspace, name)
        assert repr(name) in error.facts and "'ann@example.org'" in error.facts
    assert "\\u0430nn@" in error.facts, "letter by letter, where a reader sees no difference"
    assert refused(workspace, "Bob", "bob").facts == "Contributor 'Bob' looks like 'bob'."
    assert names(workspace) == {"ann@example.org"}

    path = tmp_path / "ann.jsonl"
    write_rows(path, "Ann@Example.org")
    for _ in range(2):  # the same command again changes nothing
        add_contributors(workspace, [path], two_people=["Ann@Example.org"], recorded_by="the clerk")
    add(workspace, reviews("Ann@Example.org"))
    with workspace.lineage.reader() as reader:
        (row,) = reader.process.distinctions()
        (alike,) = look_alikes(workspace, reader, None, workspace.key_of("ann@example.org"))
    assert (row.contributor_key, row.said_by) == (workspace.key_of("Ann@Example.org"), "the clerk")
    assert alike.two_people and alike.external_id == "Ann@Example.org"
    refused(workspace, "ANN@example.org")

    with pytest.raises(UsageError, match="Nobody looks like 'rossi'"):
        add_contributors(workspace, [path], two_people=["rossi"])


def write_rows(path: Path, name: str) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in reviews(name)))


@pytest.mark.parametrize("spelled", ["Ann@Example.org", "аnn@example.org", "ann@examp1e.org"])
def test_whoever_left_is_known_again_by_a_keyed_hash_alone(
    workspace: Workspace, spelled: str
) -> None:
    add(workspace, reviews("ann@example.org"))
    key = workspace.key_of("ann@example.org")
    request = receive(workspace, "ann@example.org", BASIS, filed_by="the clerk")
    assert f"has opted out ({request.request_id})" in refused(workspace, spelled).facts

    erase(workspace, key)
    error = refused(workspace, spelled)
    assert "a contributor who has left" in error.facts and request.request_id in error.facts
    assert b"ann@example.org" not in (workspace.root / "lineage.duckdb").read_bytes()


def erase(workspace: Workspace, key: str) -> None:
    """The end of an opt-out, as `flows.erasure.steps.purged` records it."""
    with workspace.lineage.writer() as recorder:
        recorder.add_all(erased_likenesses(workspace, recorder.read, key))
        recorder.mark_erased(key, datetime.now(UTC))
    workspace.lineage.rewrite()
    with workspace.lineage.reader() as reader:
        kept = erased_likenesses(workspace, reader, key)
    assert kept and {row.contributor_key for row in kept} == {key}


def test_an_id_that_passes_for_a_key_or_a_number_of_ours_is_refused(workspace: Workspace) -> None:
    add(workspace, reviews("ann"))
    key = workspace.key_of("ann")
    look = key.replace("0", "O").replace("1", "l")
    for name in (key, key.upper(), look, "opt-out-0001", "Backup-0002"):
        with pytest.raises(UsageError, match=r"is the key of|reads like a number"):
            add(workspace, reviews(name))
    add(workspace, reviews("0123456789abcdef" * 2))
    with workspace.lineage.writer() as recorder:
        other = ContributorRecord(
            contributor_key="f" * 32, external_id="eve", added_at=datetime.now(UTC)
        )
        recorder.add(other)
    with pytest.raises(UsageError, match="is the key of"):
        add(workspace, reviews("F" * 32))


def test_a_request_by_another_spelling_is_told_whom_it_may_mean(
    workspace: Workspace,
    sift: Sift,
) -> None:
    add(workspace, reviews("ann@example.org"))
    where = ("-w", workspace.root)
    ask = ("opt-out", "request", "--basis", BASIS, *where)
    sift(*ask, "Ann@Example.org").refused(2, "Did you mean 'ann@example.org'")
    sift("contributors", "show", "ANN@example.org", *where).refused(2, "Did you mean")
    sift(*ask, workspace.key_of("ann@example.org")).refused(2, "is no id but the key")
    sift(*ask, "rossi").refused(2, "There is no contributor 'rossi'")

    path = workspace.root.parent / "ann.jsonl"
    write_rows(path, "Ann@Example.org")
    sift("contributors", "add", path, *where).refused(2, "looks like", "--two-people")
    said = ("--two-people", "Ann@Example.org", "--by", "the clerk")
    assert sift("contributors", "add", path, *said, *where).code == 0
    filed = sift(*ask, "ann@example.org")
    assert "Looks like 'Ann@Example.org'" in filed.out.replace("\n", " ")
    assert "somebody else" in filed.out.replace("\n", " ")
    plan = sift("opt-out", "plan", "opt-out-0001", "--json", *where).json
    assert [row["external_id"] for row in plan["look_alikes"]] == ["Ann@Example.org"]


def test_a_kept_text_names_nobody_under_another_spelling(workspace: Workspace) -> None:
    add(workspace, reviews("ann@example.org"))
    for text in ("as ANN@EXAMPLE.ORG asked", "as аnn@example.org asked"):
        with pytest.raises(UsageError, match="names a contributor"):
            receive(workspace, "ann@example.org", text, filed_by="the clerk")
