"""The deadlines of the law, computed by hand and by rule."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.erasure.policy import deadlines, extended_answer, jurisdiction_of, kept_until
from flows.errors import UsageError
from flows.workspace.settings import JurisdictionSettings, PolicySettings
from flows.workspace.settings_file import load_settings
from flows.workspace.workspace import template

POLICY = PolicySettings()


def on(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(hour=15, tzinfo=UTC)


def day_of(moment: datetime) -> str:
    assert (moment.tzinfo, moment.hour, moment.minute) == (UTC, 23, 59)
    return moment.date().isoformat()


def due(law: str, received: str) -> dict[str, str]:
    return {kind: day_of(moment) for kind, moment in deadlines(POLICY, law, on(received))}


def test_the_policy_of_a_new_workspace_is_the_default() -> None:
    assert load_settings(template("params.yaml")).policy == POLICY


@pytest.mark.parametrize(
    ("received", "answer", "extended"),
    [
        ("2026-03-10", "2026-04-10", "2026-06-10"),
        ("2026-01-31", "2026-02-28", "2026-04-30"),
        ("2028-01-31", "2028-02-29", "2028-04-30"),
        ("2026-11-30", "2026-12-30", "2027-02-28"),
    ],
)
def test_gdpr_gives_a_calendar_month_and_two_more(
    received: str, answer: str, extended: str
) -> None:
    assert due("gdpr", received) == {"answer": answer}
    assert day_of(extended_answer(POLICY, "gdpr", on(received))) == extended


@pytest.mark.parametrize(
    ("received", "acknowledge", "answer", "extended"),
    [
        ("2026-11-24", "2026-12-08", "2027-01-08", "2027-02-22"),  # a Tuesday
        ("2026-11-28", "2026-12-11", "2027-01-12", "2027-02-26"),  # a Saturday
        ("2026-11-29", "2026-12-11", "2027-01-13", "2027-02-27"),  # a Sunday
    ],
)
def test_ccpa_gives_ten_business_days_to_confirm_and_45_days_twice_to_answer(
    received: str, acknowledge: str, answer: str, extended: str
) -> None:
    assert due("ccpa", received) == {"acknowledge": acknowledge, "answer": answer}
    assert day_of(extended_answer(POLICY, "ccpa", on(received))) == extended


def test_a_holiday_is_no_business_day() -> None:
    policy = POLICY.model_copy(update={"holidays": (date(2026, 11, 26), date(2026, 11, 28))})
    found = dict(deadlines(policy, "ccpa", on("2026-11-24")))
    assert day_of(found["acknowledge"]) == "2026-12-09"


def test_the_day_of_receipt_is_that_of_utc() -> None:
    evening = datetime(2026, 3, 9, 21, tzinfo=timezone(timedelta(hours=-5)))
    (answer,) = deadlines(POLICY, "gdpr", evening)
    assert day_of(answer[1]) == "2026-04-10"


@given(received=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)))
def test_no_deadline_lies_before_receipt_or_after_its_extension(received: datetime) -> None:
    moment = received.replace(tzinfo=UTC)
    for law in POLICY.jurisdictions:
        found = dict(deadlines(POLICY, law, moment))
        assert moment < found["answer"] < extended_answer(POLICY, law, moment)
        assert found["answer"] - moment >= timedelta(days=28)


@pytest.mark.parametrize(
    ("basis", "named", "law"),
    [
        ("gdpr-art-17", None, "gdpr"),
        ("CCPA-1798.105", None, "ccpa"),
        ("contract clause 7", None, "gdpr"),
        ("contract clause 7", "ccpa", "ccpa"),
    ],
)
def test_the_law_is_named_by_option_by_basis_or_by_the_policy(
    basis: str, named: str | None, law: str
) -> None:
    assert jurisdiction_of(POLICY, basis, named) == law


def test_an_unknown_law_and_an_extension_that_does_not_exist_are_refused() -> None:
    with pytest.raises(UsageError, match="ccpa, gdpr"):
        jurisdiction_of(POLICY, "x", "lgpd")
    strict = PolicySettings(
        jurisdiction="lgpd", jurisdictions={"lgpd": JurisdictionSettings(answer="15 days")}
    )
    with pytest.raises(UsageError, match="cannot be put off"):
        extended_answer(strict, "lgpd", on("2026-01-01"))


def test_the_record_is_kept_for_24_months() -> None:
    assert day_of(kept_until(POLICY, on("2026-11-24"))) == "2028-11-24"


@pytest.mark.parametrize(
    "wrong",
    [
        {"jurisdiction": "lgpd"},
        {"persons": 3},
        {"persons": 2, "approvers": ["ann"]},
        {"keep_record": "2 years"},
        {"jurisdictions": {"gdpr": {"answer": "0 days"}}},
        {"approver": ["ann"]},
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        PolicySettings.model_validate(wrong)
