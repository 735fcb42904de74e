"""The lineage export: a file of a state that never changes, without names."""

import json

import pytest

from lineage import LineageNotFoundError, Store
from lineage.certificates.envelope import EvidenceError
from lineage.state_export import export_state, read_export, require_sum
from tests.support.lineage_stores import tamper
from tests.support.population import key


def test_the_members_of_each_state_sum_to_it(populated: Store) -> None:
    with populated.reader() as reader:
        for state_seq, members in ((1, 3), (2, 4), (3, 3)):
            head, lines = read_export(export_state(reader, state_seq))
            require_sum(head, lines)
            assert head.members == members
            assert head.state_sha256 == reader.state(state_seq).state_sha256


def test_an_export_is_the_same_after_the_leaver_was_erased_and_others_moved_on(
    populated: Store,
) -> None:
    """State 1 still has Cyd's line, by key: digests stay when bytes and names are gone."""
    with populated.reader() as reader:
        first = export_state(reader, 1)
    tamper(
        populated,
        "UPDATE contributor SET external_id = NULL",
        "UPDATE task_vector SET destroyed_at = now()",
    )
    with populated.reader() as reader:
        assert export_state(reader, 1) == first
    assert key("cyd").encode() in first


def test_an_export_holds_no_name(populated: Store) -> None:
    with populated.reader() as reader:
        names = [row.external_id for row in reader.contributors() if row.external_id]
        data = b"".join(export_state(reader, state_seq) for state_seq in (1, 2, 3))
    assert names
    assert [name for name in names if name.encode() in data] == []


def test_a_state_without_members_has_one_line(populated: Store) -> None:
    tamper(populated, "DELETE FROM membership")
    with populated.reader() as reader:
        head, lines = read_export(export_state(reader, 3))
    assert (head.members, lines) == (0, ())
    with pytest.raises(EvidenceError, match="does not sum"):
        require_sum(head, lines)


def test_an_altered_lane_does_not_sum_up(populated: Store) -> None:
    with populated.reader() as reader:
        head, first, *rest = export_state(reader, 3).splitlines(keepends=True)
    member = json.loads(first)
    member["linear_digest"][0] = str(int(member["linear_digest"][0]) ^ 1)
    altered = json.dumps(member, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    with pytest.raises(EvidenceError, match="lane 0"):
        require_sum(*read_export(b"".join([head, altered, *rest])))


def test_there_is_no_export_of_an_unknown_state(populated: Store) -> None:
    with populated.reader() as reader, pytest.raises(LineageNotFoundError):
        export_state(reader, 9)
