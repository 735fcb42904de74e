"""Moments and days that somebody wrote: read one way, or refused.

A moment is RFC 3339 with its offset, `2026-11-21T01:00:00+09:00`, and is converted to UTC, never
relabelled. A day is `2026-11-21`. Whatever else a library would make a time of (a count of seconds,
`20261121`, a week, a time of no zone) means another thing to another reader, so it is refused.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

FIRST_YEAR, LAST_YEAR = 2000, 2199
"""What lies outside is a slip of the pen, or no time at all."""
_EAST, _WEST = timedelta(hours=14), timedelta(hours=-12)
"""No place has a later clock, or an earlier one."""
_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?"
    r"(?P<offset>[Zz]|[+-]\d{2}:\d{2})?",
    re.ASCII,
)


def day(text: str) -> date:
    """The day that is written `2026-11-21`. Raises ValueError for anything else."""
    found = _DAY.fullmatch(text)
    if found is None:
        raise ValueError("is no day such as 2026-11-21")
    year, month, number = map(int, found.groups())
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(f"lies in the year {year:04}, not in {FIRST_YEAR} to {LAST_YEAR}")
    try:
        return date(year, month, number)
    except ValueError:
        raise ValueError("is a day that no calendar has") from None


def moment(text: str) -> datetime:
    """The moment that is written `2026-11-21T01:00:00+09:00`, in UTC.

    What is finer than a microsecond is cut off. Raises ValueError for anything else, a moment
    without its offset too.
    """
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError("is no moment such as 2026-11-21T01:00:00+09:00")
    if found["offset"] is None:
        raise ValueError("says no offset from UTC, such as +09:00 or Z")
    on = day(found["day"])
    hour, minute, second = (int(part or 0) for part in found.group(2, 3, 4))
    fraction = int((found[5] or "").ljust(6, "0")[:6])
    try:
        local = datetime(on.year, on.month, on.day, hour, minute, second, fraction)
    except ValueError:
        raise ValueError("is a time that no clock shows") from None
    return local.replace(tzinfo=_offset(found["offset"])).astimezone(UTC)


def _offset(text: str) -> timezone:
    if text in "Zz":
        return UTC
    hours, minutes = int(text[1:3]), int(text[4:6])
    east = (1 if text[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes)
    if minutes > 59 or not _WEST <= east <= _EAST:
        raise ValueError(f"has the offset {text}, which no place on Earth has")
    return timezone(east)


def _read_moment(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        return moment(value)
    raise ValueError("is no moment such as 2026-11-21T01:00:00+09:00")


def _read_day(value: object) -> object:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str):
        return day(value)
    raise ValueError("is no day such as 2026-11-21")


Utc = Annotated[
    AwareDatetime,
    BeforeValidator(_read_moment),
    AfterValidator(lambda value: value.astimezone(UTC)),
]
"""A moment as a field: read by `moment`, held in UTC."""
Day = Annotated[date, BeforeValidator(_read_day)]
"""A day as a field: read by `day`."""
