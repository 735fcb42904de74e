"""Whoever writes a time: it means one moment, wherever and however it is read, or is refused."""

import calendar
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError
from typer.testing import CliRunner

import flows
import lineage
from flows.cli import app
from flows.erasure.policy import deadlines, extended_answer
from flows.errors import UsageError
from flows.ui.forms import OptOutForm
from flows.workspace.settings import PolicySettings
from flows.workspace.times import (
    begin_of,
    day_in,
    end_of,
    read_received,
    require_past,
    zone,
    zone_names,
)
from lineage.times import Utc, moment
from tests.support.workspaces import make_workspace, reviews

MEANINGLESS: dict[str, Any] = {
    "compact day": "20261120",
    "seconds": "1795132800",
    "seconds as a number": 1795132800,
    "fraction of seconds": "1795132800.5",
    "milliseconds": 1795132800000,
    "week date": "2026-W47-5",
    "day of the year": "2026-324",
    "no offset": "2026-11-21T01:00:00",
    "no offset, a space": "2026-11-21 01:00",
    "offset of nowhere": "2026-11-21T01:00:00+14:30",
    "offset of nowhere, west": "2026-11-21T01:00:00-12:15",
    "offset without minutes": "2026-11-21T01:00:00+09",
    "offset without colon": "2026-11-21T01:00:00+0900",
    "offset in 75 minutes": "2026-11-21T01:00:00+08:75",
    "a zone's name": "2026-11-21T01:00:00 JST",
    "comma": "2026-11-21T01:00:00,5Z",
    "day and month changed": "21.11.2026",
    "American": "11/21/2026",
    "two digits": "26-11-21",
    "short month": "2026-1-2",
    "no such day": "2026-02-29",
    "no such month": "2026-13-01",
    "hour 24": "2026-11-21T24:00:00Z",
    "leap second": "2016-12-31T23:59:60Z",
    "epoch": "1970-01-01",
    "year 1": "0001-01-01T00:00:00+14:00",
    "year 9999": "9999-12-31T23:59:59-12:00",
    "words": "yesterday",
    "empty": "",
    "blank": " ",
    "signed": "+2026-11-21",
    "newline": "2026-11-21\n",
    "NUL": "2026-11-21\x00",
    "digits of another script": "２０２６-11-21",
    "minus sign of typographers": "2026−11−21",
    "a flag": True,
    "nothing": None,
    "a list": ["2026-11-21"],
}
"""What means no time: nobody's guess is taken for what was meant."""
CASES = MEANINGLESS
ZONES = ["UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Tokyo", "Pacific/Kiritimati"]
ZONES += ["America/Havana", "Asia/Beirut", "Australia/Lord_Howe", "Pacific/Pago_Pago"]
"""Both ends of the day, clocks that change at midnight, and by half an hour."""
OFFSETS = st.integers(-12 * 4, 14 * 4).map(lambda n: timezone(timedelta(minutes=15 * n)))
MOMENTS = st.datetimes(datetime(2001, 1, 2), datetime(2090, 12, 30), timezones=st.just(UTC))


class Field(BaseModel):
    """A field of a file, as departures, backups, reports and certificates have them."""

    at: Utc


def _into_field(value: Any) -> object:
    return Field.model_validate_json(json.dumps({"at": value}))


def _into_option(value: Any) -> object:
    return read_received(str(value), UTC)


def _into_form(value: Any) -> object:
    return OptOutForm.model_validate({"received_on": value})


def _into_holidays(value: Any) -> object:
    return PolicySettings.model_validate({"holidays": [value]})


DOORS: list[Callable[[Any], object]] = [_into_field, _into_option, _into_form, _into_holidays]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("value", CASES.values(), ids=CASES)
def test_what_means_no_time_is_refused_at_every_door(
    door: Callable[[Any], object], value: Any
) -> None:
    if door is _into_form and value is None:
        return  # the form's own word for now
    with pytest.raises((UsageError, ValidationError)):
        door(value)


def _our_fields() -> Iterator[tuple[str, Any]]:
    """Every field of every pydantic form of ours that holds a moment or a day."""
    for package in (flows, lineage):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name != "flows.serving.model":  # MLflow runs it as a script
                importlib.import_module(module.name)
    waiting = list(BaseModel.__subclasses__())
    while waiting:
        form = waiting.pop()
        waiting.extend(form.__subclasses__())
        if form.__module__.partition(".")[0] in ("flows", "lineage"):
            for name, field in form.model_fields.items():
                if "atetime" in str(field.annotation):
                    yield f"{form.__name__}.{name}", Annotated[field.annotation, field]


def test_every_moment_and_day_of_every_form_refuses_what_pydantic_would_guess() -> None:
    fields = dict(_our_fields())
    assert {"Departure.received_at", "Manifest.made_at", "OptOutForm.received_on"} < set(fields)
    for name, field in fields.items():
        for wrong in ("20261120", 20261120, 1795132800.0, "2026-11-21T01:00:00"):
            with pytest.raises(ValidationError):
                pytest.fail(f"{name} takes {TypeAdapter(field).validate_python(wrong)}")


@given(at=MOMENTS, offset=OFFSETS, divider=st.sampled_from("T t"), place=st.sampled_from(ZONES))
def test_the_offset_in_which_an_instant_was_written_decides_nothing(
    at: datetime, offset: timezone, divider: str, place: str
) -> None:
    written = at.astimezone(offset).isoformat(divider)
    here = zone(place)
    policy = PolicySettings(time_zone=place)

    received = read_received(written, here)

    assert received == at
    assert received.tzinfo is UTC
    for law in policy.jurisdictions:
        as_utc = read_received(at.isoformat().replace("+00:00", "Z"), here)
        assert deadlines(policy, law, received) == deadlines(policy, law, as_utc)
        assert deadlines(policy, law, at.astimezone(offset)) == deadlines(policy, law, at)
        late = extended_answer(policy, law, at.astimezone(offset))
        assert late == extended_answer(policy, law, at)


@given(at=MOMENTS, place=st.sampled_from(ZONES))
def test_a_deadline_is_the_last_second_of_a_day_of_the_place(at: datetime, place: str) -> None:
    here = zone(place)
    policy = PolicySettings(time_zone=place)
    received_on = day_in(here, at)
    (answer,) = deadlines(policy, "gdpr", at)
    year, month = divmod(received_on.year * 12 + received_on.month, 12)
    last = calendar.monthrange(year, month + 1)[1]

    due = answer[1].astimezone(here)

    assert due.date() == date(year, month + 1, min(received_on.day, last))
    assert (due.hour, due.minute, due.second) == (23, 59, 59)


@given(day=st.dates(date(2001, 1, 1), date(2090, 12, 31)), place=st.sampled_from(ZONES))
def test_a_bare_day_is_never_later_than_any_moment_of_it(day: date, place: str) -> None:
    """So no deadline counted from it is later than the law of the place allows."""
    here = zone(place)
    begin = read_received(day.isoformat(), here)

    assert day_in(here, begin) == day == day_in(here, end_of(day, here))
    assert begin < end_of(day, here)
    assert day_in(here, begin - timedelta(seconds=1)) < day
    for law in ("gdpr", "ccpa"):
        policy = PolicySettings(time_zone=place)
        assert deadlines(policy, law, begin) == deadlines(policy, law, end_of(day, here))


@settings(max_examples=300)
@given(st.text(max_size=40))
def test_any_text_is_a_moment_as_the_standard_library_reads_it_or_refused(text: str) -> None:
    try:
        found = moment(text)
    except ValueError:
        return
    assert found == datetime.fromisoformat(text.upper())


@pytest.mark.parametrize(
    ("received", "place", "answer"),
    [
        # the same instant in three ways: 20 November in UTC
        ("2026-11-21T01:00:00+09:00", "UTC", "2026-12-20T23:59:59+00:00"),
        ("2026-11-20T16:00:00Z", "UTC", "2026-12-20T23:59:59+00:00"),
        ("2026-11-20T08:00:00-08:00", "UTC", "2026-12-20T23:59:59+00:00"),
        # and a day later by the calendar of Tokyo, which ends earlier
        ("2026-11-20T16:00:00Z", "Asia/Tokyo", "2026-12-21T14:59:59+00:00"),
        # around midnight of the place
        ("2026-11-20T23:59:59.999999-08:00", "America/Los_Angeles", "2026-12-21T07:59:59+00:00"),
        ("2026-11-21T00:00:00-08:00", "America/Los_Angeles", "2026-12-22T07:59:59+00:00"),
        # month ends and leap days
        ("2026-01-31", "UTC", "2026-02-28T23:59:59+00:00"),
        ("2028-01-31", "UTC", "2028-02-29T23:59:59+00:00"),
        ("2028-02-29", "UTC", "2028-03-29T23:59:59+00:00"),
        ("2027-12-31T23:30:00-01:00", "UTC", "2028-02-01T23:59:59+00:00"),
        # clocks go back on 25 October, forward on 28 March
        ("2026-10-01", "Europe/Berlin", "2026-11-01T22:59:59+00:00"),
        ("2026-09-25", "Europe/Berlin", "2026-10-25T22:59:59+00:00"),
        ("2027-02-28", "Europe/Berlin", "2027-03-28T21:59:59+00:00"),
        # the hour that there is twice
        ("2026-10-25T02:30:00+02:00", "Europe/Berlin", "2026-11-25T22:59:59+00:00"),
        ("2026-10-25T02:30:00+01:00", "Europe/Berlin", "2026-11-25T22:59:59+00:00"),
        # a midnight that there is twice (Havana), and one that there is not (Beirut)
        ("2025-10-02", "America/Havana", "2025-11-03T04:59:59+00:00"),
        ("2026-02-28", "Asia/Beirut", "2026-03-28T21:59:59+00:00"),
    ],
)
def test_deadlines_by_hand(received: str, place: str, answer: str) -> None:
    policy = PolicySettings(time_zone=place)
    found = dict(deadlines(policy, "gdpr", read_received(received, zone(place))))
    assert found["answer"].isoformat() == answer


@pytest.mark.parametrize(
    ("received", "place", "acknowledge"),
    [
        ("2026-11-20T16:00:00Z", "UTC", "2026-12-04"),  # a Friday
        ("2026-11-20T16:00:00Z", "Asia/Tokyo", "2026-12-04"),  # Saturday there
        ("2026-11-22T16:00:00Z", "UTC", "2026-12-04"),  # a Sunday
        ("2026-11-22T16:00:00Z", "Asia/Tokyo", "2026-12-08"),  # Monday there; one holiday
    ],
)
def test_business_days_and_holidays_are_those_of_the_place(
    received: str, place: str, acknowledge: str
) -> None:
    policy = PolicySettings(time_zone=place, holidays=(date(2026, 12, 7),))
    found = dict(deadlines(policy, "ccpa", read_received(received, zone(place))))
    assert day_in(zone(place), found["acknowledge"]).isoformat() == acknowledge


def test_midnights_that_are_skipped_or_there_twice() -> None:
    beirut, havana = zone("Asia/Beirut"), zone("America/Havana")
    # 29 March 2026 begins at 01:00 there; 2 November 2025 has its first hour twice.
    assert begin_of(date(2026, 3, 29), beirut).isoformat() == "2026-03-28T22:00:00+00:00"
    assert begin_of(date(2025, 11, 2), havana).isoformat() == "2025-11-02T04:00:00+00:00"


@pytest.mark.parametrize(
    "name", ["localtime", "../UTC", "/etc/localtime", "posixrules", "", "Mars"]
)
def test_only_zones_of_the_database_are_zones(name: str) -> None:
    with pytest.raises(ValidationError):
        PolicySettings(time_zone=name)


def test_every_zone_of_the_database_can_be_read() -> None:
    assert len(zone_names()) > 500
    for name in zone_names():
        assert begin_of(date(2026, 6, 1), zone(name)) < end_of(date(2026, 6, 1), zone(name))


def test_a_clock_that_is_a_little_ahead_means_now_and_more_is_refused() -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)

    assert require_past(now + timedelta(minutes=5), now) == now
    assert require_past(now - timedelta(days=1), now) == now - timedelta(days=1)
    with pytest.raises(UsageError, match="future"):
        require_past(now + timedelta(minutes=6), now)


_ASK = """
import json, locale, sys
from flows.erasure.policy import deadlines
from flows.workspace.settings import PolicySettings
from flows.workspace.times import read_received, zone
try:
    locale.setlocale(locale.LC_ALL, "")
except locale.Error:
    pass
found = []
for place in sys.argv[1:]:
    policy = PolicySettings(time_zone=place)
    for text in ("2026-11-21T01:00:00+09:00", "2026-10-25", "2027-03-28T02:30:00+01:00"):
        received = read_received(text, zone(place))
        found.append([at.isoformat() for law in ("gdpr", "ccpa")
                      for _, at in deadlines(policy, law, received)])
print(json.dumps(found))
"""


def test_the_machines_zone_and_locale_decide_nothing(tmp_path: Path) -> None:
    answers = set()
    for machine in (
        {"TZ": "UTC", "LC_ALL": "C"},
        {"TZ": "Pacific/Kiritimati", "LC_ALL": "tr_TR.UTF-8"},
        {"TZ": "America/Los_Angeles", "LC_ALL": "ar_EG.UTF-8", "PYTHONTZPATH": str(tmp_path)},
    ):
        done = subprocess.run(
            [sys.executable, "-c", _ASK, *ZONES],
            env={**os.environ, **machine},
            capture_output=True,
            text=True,
            check=True,
        )
        answers.add(done.stdout)
    assert len(answers) == 1


def test_the_command_converts_and_says_in_which_zone_a_deadline_ends(
    tmp_path: Path, tiny_classifier: Path
) -> None:
    root = tmp_path / "workspace"
    make_workspace(root, tiny_classifier, [reviews("ann")])
    asked = ["opt-out", "request", "ann", "--basis", "gdpr-art-17", "--workspace", str(root)]
    for wrong in ("20261120", "2026-11-21T01:00:00", "2099-01-01", "1970-08-23", ""):
        refused = CliRunner().invoke(app, [*asked, "--received", wrong])
        assert isinstance(refused.exception, UsageError), refused.output
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("time_zone: UTC", "time_zone: Asia/Tokyo"))

    done = CliRunner().invoke(app, [*asked, "--received", "2026-11-21T01:00:00+09:00"])

    assert done.exit_code == 0, done.output
    assert "received 2026-11-20 16:00 UTC" in done.output
    assert "by 2026-12-21 23:59 Asia/Tokyo (gdpr)" in done.output
