"""Which requests must be acknowledged or answered, and by when: rows, and an alarm.

The flow that shows them in Prefect is `flows/deadlines.py`; this can be asked without Prefect.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from flows.errors import FlowError
from flows.workspace.times import shown, zone
from flows.workspace.workspace import Workspace
from lineage import DeadlineKind, DeadlineStatus

DeadlineState = Literal["met", "late", "open", "due soon", "overdue"]
ALARMING = frozenset({"due soon", "overdue"})


class DeadlineError(FlowError):
    """A request is overdue, or nearly."""


@dataclass(frozen=True)
class Due:
    """One deadline as the policy sees it; `days_left` is None once it is met.

    `due_at` is in UTC, `time_zone` the policy's: its day ends then.
    """

    request_id: str
    jurisdiction: str | None
    kind: DeadlineKind
    due_at: datetime
    time_zone: str
    days_left: int | None
    state: DeadlineState

    @property
    def by(self) -> str:
        """The last minute, as people there read it: `2026-12-08 23:59 Europe/Berlin`."""
        return shown(self.due_at, zone(self.time_zone))

    def as_dict(self) -> dict[str, Any]:
        """For JSON and tables."""
        return {**asdict(self), "due_at": self.due_at.isoformat()}


def due(workspace: Workspace, request_id: str | None = None, soon: int | None = None) -> list[Due]:
    """The deadlines of one request, or of all; the nearest first.

    An open one within `soon` days is due soon; None: within `policy.due_soon_days`.
    """
    with workspace.lineage.reader() as reader:
        rows = reader.process.deadlines(request_id)
    policy = workspace.settings.policy
    if soon is None:
        soon = policy.due_soon_days
    return [
        Due(
            request_id=row.request_id,
            jurisdiction=row.jurisdiction,
            kind=row.kind,
            due_at=row.due_at,
            time_zone=policy.time_zone,
            days_left=row.days_left,
            state=_state(row, soon),
        )
        for row in rows
    ]


def require_on_time(rows: Sequence[Due]) -> None:
    """Raise DeadlineError where one of these is overdue or due soon, naming the most urgent."""
    urgent = [row for row in rows if row.state in ALARMING]
    if urgent:
        first = urgent[0]
        raise DeadlineError(
            f"{len(urgent)} deadline{'s' if len(urgent) > 1 else ''} overdue or due soon, first: "
            f"{first.kind} {first.request_id} by {first.by}.",
            remedy=f"see `sift opt-out status {first.request_id}`: acknowledge, extend, approve "
            "and run, or reject it.",
        )


def _state(row: DeadlineStatus, soon: int) -> DeadlineState:
    near = row.state == "open" and row.days_left is not None and row.days_left <= soon
    return "due soon" if near else row.state
