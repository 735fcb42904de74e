from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage import (
    LineageConflictError,
    LineageNotFoundError,
    NoticeRecord,
    OptOutOrderError,
    Recorder,
    Store,
)
from lineage.opt_out import STEPS, ApprovalRule
from tests.support.population import MODEL, at, key, sha

REQUEST = "opt-out-0002"


def file(recorder: Recorder, name: str = "ada", when: datetime | None = None) -> str:
    return recorder.receive(
        key(name), "gdpr-art-17", when or at(30), jurisdiction="gdpr", filed_by="clerk"
    ).request_id


def test_nothing_is_approved_that_nobody_has_approved(populated: Store) -> None:
    with populated.writer() as recorder:
        file(recorder)
        recorder.advance(REQUEST, "identified", {}, at(31))
        with pytest.raises(OptOutOrderError, match="Nobody has approved"):
            recorder.advance(REQUEST, "approved", {}, at(31))
        assert (
            recorder.process.decide(REQUEST, "approved", "dpo", "identity proven", at(31)) is True
        )
        assert recorder.process.decide(REQUEST, "approved", "dpo", "again", at(32)) is False
        assert recorder.advance(REQUEST, "approved", {}, at(32)) is True
        (decision,) = recorder.read.process.approvals(REQUEST)
    assert (decision.actor, decision.reason) == ("dpo", "identity proven")


def test_a_rejection_ends_a_request_until_something_is_removed(populated: Store) -> None:
    with populated.writer() as recorder:
        first, second = file(recorder), file(recorder, "bob")
        recorder.process.decide(first, "rejected", "dpo", "not the person", at(31))
        assert recorder.reject(first, "not the person", at(31)) is True
        assert recorder.read.next_step(first) is None
        assert recorder.read.process.standing_requests(key("ada")) == []
        recorder.process.decide(second, "approved", "dpo", "identity proven", at(31))
        for step in STEPS[1:4]:
            recorder.advance(second, step, {}, at(32))
        for refused in (
            lambda: recorder.process.decide(second, "rejected", "dpo", "too late", at(33)),
            lambda: recorder.reject(second, "too late", at(33)),
            lambda: recorder.process.decide(first, "approved", "dpo", "after all", at(33)),
        ):
            with pytest.raises(OptOutOrderError):
                refused()
        (row,) = recorder.read.sql(
            f"SELECT outcome, reason FROM opt_out_status WHERE request_id = '{first}'"
        ).rows
    assert row == ("rejected", "not the person")


NAMES = st.sampled_from(["dpo", " DPO", "counsel", "clerk", "Clerk ", "stranger"])


@given(actors=st.lists(NAMES, max_size=5), persons=st.sampled_from([1, 2]), filed=NAMES)
def test_as_many_different_persons_approve_as_the_rule_asks(
    actors: list[str], persons: int, filed: str
) -> None:
    rule = ApprovalRule(("dpo", "counsel", "clerk"), persons)
    allowed = {"dpo", "counsel", "clerk"} - ({filed.strip().lower()} if persons == 2 else set())
    different = {actor.strip().lower() for actor in actors} & allowed
    assert rule.missing(actors, filed) == max(0, persons - len(different))


def test_two_persons_need_to_know_who_filed() -> None:
    assert ApprovalRule(persons=2).missing(["a", "b"], None) == 2
    assert ApprovalRule(persons=1).missing(["a"], None) == 0


def deadlines(store: Store, request_id: str) -> dict[str, tuple[str, int | None]]:
    with store.reader() as reader:
        return {
            row.kind: (row.state, row.days_left) for row in reader.process.deadlines(request_id)
        }


def test_deadlines_are_open_overdue_met_or_late(populated: Store) -> None:
    now = datetime.now(UTC)
    with populated.writer() as recorder:
        request_id = file(recorder, when=now - timedelta(days=50))
        recorder.process.set_deadlines(
            request_id,
            [
                ("acknowledge", now - timedelta(days=39.5)),
                ("answer", now + timedelta(days=3.5)),
            ],
        )
    assert deadlines(populated, request_id) == {
        "acknowledge": ("overdue", -40),
        "answer": ("open", 3),
    }
    with populated.writer() as recorder:
        notice = NoticeRecord(
            request_id=request_id, kind="acknowledged", actor="dpo", reason="mail", sent_at=now
        )
        assert recorder.process.notify(notice) is True
        assert recorder.process.notify(notice) is False
        recorder.process.set_deadlines(
            request_id, [("extended answer", now + timedelta(days=60.5))]
        )
        recorder.process.set_deadlines(request_id, [("extended answer", now + timedelta(days=99))])
    assert deadlines(populated, request_id) == {
        "acknowledge": ("late", None),
        "extended answer": ("open", 60),
    }
    with populated.writer() as recorder:
        recorder.process.decide(request_id, "rejected", "dpo", "a legal duty to keep", now)
        recorder.reject(request_id, "a legal duty to keep", now)
    assert deadlines(populated, request_id)["extended answer"] == ("met", None)


def test_a_hold_stands_until_it_is_released(populated: Store) -> None:
    with populated.writer() as recorder:
        recorder.process.place_hold(key("ada"), "counsel", "case 7", at(30))
        with pytest.raises(LineageConflictError, match="on hold"):
            recorder.process.place_hold(key("ada"), "counsel", "case 8", at(31))
        assert recorder.read.process.standing_hold(key("bob")) is None
        recorder.process.release_hold(key("ada"), "counsel", "case closed", at(32))
        assert recorder.read.process.standing_hold(key("ada")) is None
        with pytest.raises(LineageNotFoundError):
            recorder.process.release_hold(key("ada"), "counsel", "case closed", at(33))
        recorder.process.place_hold(key("ada"), "counsel", "case 8", at(34))
        assert [row.released_by for row in recorder.read.process.holds()] == ["counsel", None]


def test_who_came_back_by_new_consent_is_bound_by_later_requests_only(
    populated: Store,
) -> None:
    with populated.writer() as recorder:
        assert recorder.read.removed_contributors() == {key("cyd")}
        recorder.process.consent(key("cyd"), "clerk", "form 12", at(40))
        assert recorder.read.removed_contributors() == set()
        assert recorder.read.process.standing_requests(key("cyd")) == []
        again = file(recorder, "cyd", at(50))
        assert [row.request_id for row in recorder.read.process.standing_requests(key("cyd"))] == [
            again
        ]
        assert recorder.read.sql("SELECT * FROM orphans").rows == ()


def test_recipients_are_those_who_got_a_version_with_the_contributor(
    populated: Store,
) -> None:
    """Versions 1 and 2 hold cyd, version 3 does not."""
    with populated.writer() as recorder:
        for version in (1, 3, 2):
            recorder.process.disclose(
                recipient=f"partner {version}",
                purpose=None,
                name=MODEL,
                version=version,
                contributor_key=None,
                weights_sha256=sha(f"exported {version}"),
                at=at(60 + version),
            )
        (request,) = recorder.read.requests()
        told = recorder.read.process.recipients(request.request_id)
        by_record = recorder.receive(key("ada"), "x", at(70), [sha("no such record")]).request_id
        assert recorder.read.process.recipients(by_record) == []
        assert recorder.read.sql("SELECT * FROM orphans").rows == ()
    assert [(row.disclosure_id, row.recipient) for row in told] == [
        ("disclosure-0001", "partner 1"),
        ("disclosure-0003", "partner 2"),
    ]


def test_a_request_stands_aside_until_it_has_taken_the_step(populated: Store) -> None:
    with populated.writer() as recorder:
        first = file(recorder)
        recorder.advance(first, "identified", {}, at(31))
        with pytest.raises(OptOutOrderError):
            recorder.process.set_aside(first, "removed", "too early", "wait", at(31))
        recorder.process.decide(first, "approved", "dpo", "identity proven", at(31))
        recorder.advance(first, "approved", {}, at(31))
        due = recorder.read.process.deadlines(first)
        assert recorder.process.set_aside(first, "removed", "a file is gone", "restore it", at(32))
        assert not recorder.process.set_aside(
            first, "removed", "a file is gone", "restore it", at(33)
        )
        assert recorder.process.set_aside(first, "removed", "it is altered", "restore it", at(34))
        assert recorder.read.process.deadlines(first) == due
        assert recorder.read.next_step(first) == "removed"
        standing = recorder.read.process.standing_set_asides()[first]
        assert (standing.reason, standing.set_aside_at) == ("it is altered", at(34))
        status = f"SELECT set_aside_because FROM opt_out_status WHERE request_id = '{first}'"
        assert recorder.read.sql(status).rows == (("it is altered",),)

        recorder.advance(first, "removed", {}, at(35))
        assert recorder.read.process.standing_set_asides() == {}
        assert recorder.read.sql(status).rows == ((None,),)
        assert len(recorder.read.process.set_asides(first)) == 2


@pytest.mark.parametrize("ending", ["reject", "fail"])
def test_who_has_ended_stands_aside_no_more(populated: Store, ending: str) -> None:
    with populated.writer() as recorder:
        first = file(recorder)
        recorder.process.set_aside(first, "identified", "a file is gone", "restore it", at(31))
        getattr(recorder, ending)(first, "not the person", at(32))
        assert recorder.read.process.standing_set_asides() == {}
