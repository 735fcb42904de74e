"""What the policy in `params.yaml` means for one request: dates, persons, places to send to.

Pure: settings and moments in, moments out. Days are those of `policy.time_zone`, the place where
requests are answered. A deadline is the end of its day, and one that falls on a weekend is not
moved: earlier is safe under every law.
"""

from datetime import date, datetime

import numpy as np
from dateutil.relativedelta import relativedelta

from flows.errors import UsageError
from flows.workspace.settings import JurisdictionSettings, Period, PolicySettings
from flows.workspace.times import day_in, end_of, zone
from lineage import DeadlineKind
from lineage.opt_out import ApprovalRule

Deadlines = list[tuple[DeadlineKind, datetime]]


def approval_rule(policy: PolicySettings) -> ApprovalRule:
    """Who may approve, and how many must."""
    return ApprovalRule(policy.approvers, policy.persons)


def jurisdiction_of(policy: PolicySettings, basis: str, named: str | None = None) -> str:
    """The law a request falls under: the named one, that of its basis, or the policy's own.

    A basis such as `ccpa-1798.105` begins with the name of its law. Raises UsageError for a law
    that the policy does not know.
    """
    if named is None:
        begun = [law for law in policy.jurisdictions if basis.lower().startswith(law.lower())]
        return max(begun, key=len, default=policy.jurisdiction)
    _law(policy, named)
    return named


def deadlines(policy: PolicySettings, jurisdiction: str, received_at: datetime) -> Deadlines:
    """What is due, and when, for a request received then. Raises UsageError for an unknown law."""
    law = _law(policy, jurisdiction)
    due: Deadlines = [("answer", _end(policy, received_at, law.answer))]
    if law.acknowledge is not None:
        due.insert(0, ("acknowledge", _end(policy, received_at, law.acknowledge)))
    return due


def extended_answer(policy: PolicySettings, jurisdiction: str, received_at: datetime) -> datetime:
    """The later deadline after notice. Raises UsageError where the law knows none."""
    law = _law(policy, jurisdiction)
    if law.extension is None:
        raise UsageError(
            f"Under {jurisdiction} the answer cannot be put off.",
            remedy="answer in time; policy.jurisdictions in params.yaml says what each law allows.",
        )
    place = zone(policy.time_zone)
    first = _after(policy, day_in(place, received_at), law.answer)
    if law.answer.endswith(("month", "months")) and law.extension.endswith(("month", "months")):
        # One month and two months are three months: 31 January, then 30 April and not 28.
        months = _number(law.answer) + _number(law.extension)
        return _end(policy, received_at, f"{months} months")
    return end_of(_after(policy, first, law.extension), place)


def kept_until(policy: PolicySettings, ended_at: datetime) -> datetime:
    """Until when the record of a request that ended then is kept."""
    return _end(policy, ended_at, policy.keep_record)


def _law(policy: PolicySettings, name: str) -> JurisdictionSettings:
    if name not in policy.jurisdictions:
        raise UsageError(
            f"The policy knows no jurisdiction {name!r}.",
            remedy=f"name one of {', '.join(sorted(policy.jurisdictions))}, or add it under "
            "policy.jurisdictions in params.yaml.",
        )
    return policy.jurisdictions[name]


def _end(policy: PolicySettings, start: datetime, period: Period) -> datetime:
    place = zone(policy.time_zone)
    return end_of(_after(policy, day_in(place, start), period), place)


def _after(policy: PolicySettings, start: date, period: Period) -> date:
    """The last day of a period that begins after `start`: the day of receipt does not count."""
    unit = period.split(" ", 1)[1].rstrip("s")
    number = _number(period)
    if unit == "business day":
        # Backward: of a request that came in on a Sunday, Monday is the first business day.
        days = np.busday_offset(
            np.datetime64(start), number, roll="backward", holidays=list(policy.holidays)
        )
        return date.fromisoformat(str(days))
    step = relativedelta(months=number) if unit == "month" else relativedelta(days=number)
    return start + step  # type: ignore[no-any-return]


def _number(period: Period) -> int:
    return int(period.split(" ", 1)[0])
