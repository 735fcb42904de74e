"""Days of the place where requests are answered, and the moments that they begin and end.

A law counts days, and where a day ends depends on the place: `policy.time_zone` names it. The rules
of zones are those of the package `tzdata`, the same on every machine; the machine's own zone,
clock settings and locale are never asked.
"""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

from flows.errors import UsageError
from lineage import times

CLOCK_SKEW = timedelta(minutes=5)
"""So much may the clock of whoever noted a moment be ahead of ours."""


@cache
def zone_names() -> frozenset[str]:
    """Every zone of the tz database, such as `Europe/Berlin`."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split())


@cache
def zone(name: str) -> ZoneInfo:
    """The zone of this name. Raises ValueError where the tz database has none."""
    if name not in zone_names():
        raise ValueError("is no zone of the tz database, such as UTC or Europe/Berlin")
    with resources.files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def day_in(time_zone: tzinfo, moment: datetime) -> date:
    """The day that it is at this place at this moment."""
    return moment.astimezone(time_zone).date()


def begin_of(day: date, time_zone: tzinfo) -> datetime:
    """The first moment of a day at a place, in UTC."""
    return _earliest(day, time(), time_zone)


def end_of(day: date, time_zone: tzinfo) -> datetime:
    """The last second of a day at a place, in UTC."""
    return _earliest(day, time(23, 59, 59), time_zone)


def _earliest(day: date, at: time, time_zone: tzinfo) -> datetime:
    """The first moment at which clocks there show this; near it where they skip it."""
    local = datetime.combine(day, at, time_zone)
    moments = sorted(local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    return next((one for one in moments if day_in(time_zone, one) == day), moments[0])


def read_received(text: str, time_zone: tzinfo) -> datetime:
    """When something came in: a moment with its offset, or a day of this place.

    A day stands for its first moment: no deadline that counts from there is too late. Raises
    UsageError for anything else.
    """
    try:
        return times.moment(text)
    except ValueError as refusal:
        if len(text) > len("2026-11-21"):
            raise _refused(text, str(refusal)) from None
    try:
        return begin_of(times.day(text), time_zone)
    except ValueError as refusal:
        raise _refused(text, str(refusal)) from None


def require_past(moment: datetime, now: datetime) -> datetime:
    """The moment, or now where another clock is a little ahead. Raises UsageError beyond that."""
    if moment > now + CLOCK_SKEW:
        raise UsageError(
            f"The request would be received in the future, {moment:%Y-%m-%d %H:%M} UTC.",
            remedy="give the time at which it came in, with its offset; nothing was filed.",
        )
    return min(moment, now)


def shown(moment: datetime, time_zone: ZoneInfo) -> str:
    """A moment as people read it: to the minute, with the zone's name."""
    return f"{moment.astimezone(time_zone):%Y-%m-%d %H:%M} {time_zone.key}"


def _refused(text: str, why: str) -> UsageError:
    return UsageError(
        f"{text[:40]!r} {why}.",
        remedy="write a day, 2026-11-21, which is one of policy.time_zone, or a moment with its "
        "offset, 2026-11-21T01:00:00+09:00; nothing was filed.",
    )
