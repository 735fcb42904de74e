"""Requests as people read them: tables with the days left in colour."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from flows.cli.render import alarm, count, out, print_table, quality, say
from flows.erasure.deadlines import Due
from flows.erasure.status import RequestStatus, still_served_in_words
from flows.workspace.characters import plain
from lineage import SetAsideRecord

if TYPE_CHECKING:
    from flows.data.look_alikes import LookAlike
    from flows.erasure.plan import Plan  # torch and the stores, which a status does not need

_COLOURS = {"overdue": "bold red", "due soon": "yellow", "open": "green", "late": "red"}


def deadline_lines(rows: Sequence[Due]) -> list[str]:
    """Such as `To acknowledge by 2026-12-08 23:59 UTC (ccpa).`"""
    return [f"To {_what(row)} by {row.by} ({row.jurisdiction})." for row in rows]


def look_alike_lines(rows: "Sequence[LookAlike]") -> list[str]:
    """Who else the request may be about: a certificate says "all data" of one id alone."""
    lines = []
    for row in rows:
        if row.two_people:
            then = ", who is said to be somebody else"
        elif row.external_id is None:
            then = ""
        else:
            then = ", who stays: if they are one person, file a request of theirs, too"
        lines.append(f"Looks like {row}{then}.")
    return lines


def print_statuses(rows: Sequence[RequestStatus], *, in_full: bool) -> None:
    """One line a request; with `in_full`, everything that is known of each."""
    table = Table(title="Opt-out requests", title_justify="left", header_style="bold")
    table.add_column("request", no_wrap=True)
    table.add_column("withdraws", no_wrap=True)
    table.add_column("basis", overflow="fold")
    for name in ("received (UTC)", "state"):
        table.add_column(name, no_wrap=True)
    table.add_column("days left", justify="right", no_wrap=True)
    for row in rows:
        request = row.request
        table.add_row(
            request.request_id,
            _scope(row),
            escape(plain(request.basis)),
            f"{request.received_at:%Y-%m-%d}",
            row.state + (f"\n{count(len(row.pending), 'object')} pending" if row.pending else ""),
            "\n".join(map(_days, row.deadlines)) or "–",
        )
    out.print(table)
    for row in rows:
        if row.still_served_by is not None:
            facts, remedy = still_served_in_words({row.request.request_id: row.still_served_by})
            alarm(f"{facts} To end that: {remedy}")
        if row.set_aside is not None:
            _say_set_aside(row.set_aside)
    for row in rows if in_full else ():
        _print_in_full(row)


def _say_set_aside(row: SetAsideRecord) -> None:
    since = f"{row.set_aside_at:%Y-%m-%d %H:%M} UTC"
    say(f"{row.request_id} is set aside since {since}, before {row.step}: {row.reason}")
    say(f"  To go on: {row.remedy}")


def print_plan(plan: "Plan") -> None:
    """What would be destroyed, place by place, and what is known of quality."""
    print_table(
        f"{plan.request_id} would destroy {count(len(plan.objects), 'object')}, {plan.bytes} bytes",
        ["place", "what", "which", "bytes"],
        [(one.place, one.kind, one.locator, one.bytes) for one in plan.objects],
        right=3,
    )
    by_place: defaultdict[str, list[int]] = defaultdict(list)
    for one in plan.objects:
        by_place[one.place].append(one.bytes or 0)
    print_table(
        "By place",
        ["place", "objects", "bytes"],
        [(place, len(sizes), sum(sizes)) for place, sizes in by_place.items()],
    )
    for line in look_alike_lines(plan.look_alikes):
        say(line)
    if plan.kept_because_shared:
        say(f"Kept, since another contributor gave the same: {len(plan.kept_because_shared)}.")
    if plan.quality:
        names = {
            "leaver": "who leaves, now (afterwards: about merged)",
            "retained": "who stays, now",
            "change_by_opt_out": "change for who stays in earlier opt-outs (masked, held out)",
        }
        print_table(
            "Recorded quality",
            ["of", "what", "value"],
            [
                (names[of], what, quality(value))
                for of, values in plan.quality.items()
                for what, value in values.items()
            ],
            right=2,
        )
    say(
        f"Nothing was changed. Next: sift opt-out approve {plan.request_id} --by NAME --reason TEXT"
    )


def _print_in_full(row: RequestStatus) -> None:
    request = row.request
    print_table(
        request.request_id,
        ["what", "value"],
        [
            ("contributor key", request.contributor_key),
            ("withdraws", _scope(row)),
            ("law", request.jurisdiction),
            ("filed by", request.filed_by),
            ("received (UTC)", request.received_at),
            ("next step", row.next_step or "none: ended"),
        ],
        right=2,
    )
    print_table(
        "Steps",
        ["step", "at (UTC)"],
        [(step.step, step.done_at) for step in row.steps],
        right=2,
    )
    said: list[tuple[object, ...]]
    said = [(one.decision, one.actor, one.reason, one.decided_at) for one in row.approvals]
    said += [(one.kind, one.actor, one.reason, one.sent_at) for one in row.notices]
    if row.hold is not None:
        said.append(("on hold", row.hold.placed_by, row.hold.reason, row.hold.placed_at))
    if said:
        print_table("Decisions and notices", ["what", "who", "why", "at (UTC)"], said, right=4)
    if row.deadlines:
        print_table(
            "Deadlines",
            ["what", "law", "due", "state"],
            [(one.kind, one.jurisdiction, one.by, one.state) for one in row.deadlines],
            right=4,
        )
    if row.pending:
        print_table(
            "Pending: listed for destruction, not yet shown to be gone",
            ["place", "what", "which", "destroyed"],
            [(one.place, one.kind, one.locator, one.destroyed_at) for one in row.pending],
            right=4,
        )
    if row.kept_until is not None:
        say(f"The record of this request is kept until {row.kept_until:%Y-%m-%d}.")


def _scope(row: RequestStatus) -> str:
    records = row.request.records
    return "all data" if records is None else count(len(records), "record")


def _days(row: Due) -> str:
    """Days left of one deadline, in the colour of its urgency."""
    what = row.kind.split()[-1]
    said = row.state if row.days_left is None else str(row.days_left)
    colour = _COLOURS.get(row.state)
    text = f"{said} to {what}" if row.days_left is not None else f"{what} {said}"
    return f"[{colour}]{text}[/{colour}]" if colour else text


def _what(row: Due) -> str:
    return "answer, at last," if row.kind == "extended answer" else row.kind
