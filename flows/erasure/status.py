"""How a request stands: its step in words, decisions, deadlines, and what is pending."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flows.erasure.deadlines import Due, due
from flows.erasure.policy import kept_until
from flows.errors import FlowError
from flows.workspace.workspace import Workspace
from lineage import (
    ApprovalRecord,
    HoldRecord,
    ModelVersionRecord,
    NoticeRecord,
    PurgeObjectRecord,
    Reader,
    RequestRecord,
    SetAsideRecord,
    StepRecord,
)


class StillServedError(FlowError):
    """The champion holds contributors who are removed from the merge already."""


@dataclass(frozen=True)
class RequestStatus:
    """Everything that lineage knows of one request."""

    request: RequestRecord
    steps: Sequence[StepRecord]
    next_step: str | None
    approvals: Sequence[ApprovalRecord]
    notices: Sequence[NoticeRecord]
    hold: HoldRecord | None
    set_aside: SetAsideRecord | None
    """Why it could not take its next step while others went on."""
    still_served_by: int | None
    """The champion, where it holds what this request has removed already."""
    deadlines: Sequence[Due]
    pending: Sequence[PurgeObjectRecord]
    """Listed for destruction and not yet shown to be gone."""
    kept_until: datetime | None
    """Until when the record of this request is kept; None before its end."""

    @property
    def state(self) -> str:
        """The state in a word: of the state machine, `purging`, `set aside`, or `on hold`."""
        if self.next_step is not None and self.hold is not None:
            return "on hold"
        if self.next_step == "purged" and self.pending:
            return "purging"
        return "set aside" if self.set_aside is not None else self.steps[-1].step

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **self.request.model_dump(mode="json"),
            "state": self.state,
            "steps": [step.model_dump(mode="json") for step in self.steps],
            "next_step": self.next_step,
            "approvals": [row.model_dump(mode="json") for row in self.approvals],
            "notices": [row.model_dump(mode="json") for row in self.notices],
            "hold": self.hold and self.hold.model_dump(mode="json"),
            "set_aside": self.set_aside and self.set_aside.model_dump(mode="json"),
            "still_served_by": self.still_served_by,
            "deadlines": [row.as_dict() for row in self.deadlines],
            "pending": [row.model_dump(mode="json") for row in self.pending],
            "kept_until": self.kept_until and self.kept_until.isoformat(),
        }


def request_statuses(workspace: Workspace, request_id: str | None = None) -> list[RequestStatus]:
    """How one request stands, or all, oldest first."""
    deadlines = due(workspace, request_id)
    with workspace.lineage.reader() as reader:
        requests = [reader.request(request_id)] if request_id else reader.requests()
        aside = reader.process.standing_set_asides()
        champion = reader.champion(workspace.settings.model.name)
        holds = {
            row.contributor_key: row for row in reader.process.holds() if row.released_at is None
        }
        found = []
        for request in requests:
            name = request.request_id
            steps = reader.steps(name)
            upcoming = reader.next_step(name)
            objects = reader.purge_objects(name) if upcoming == "purged" else []
            policy = workspace.settings.policy
            found.append(
                RequestStatus(
                    request=request,
                    steps=steps,
                    next_step=upcoming,
                    approvals=reader.process.approvals(name),
                    notices=reader.process.notices(name),
                    hold=holds.get(request.contributor_key),
                    set_aside=aside.get(name),
                    still_served_by=_still_served_by(reader, request, steps, champion),
                    deadlines=[row for row in deadlines if row.request_id == name],
                    pending=[row for row in objects if row.absent_at is None],
                    kept_until=None if upcoming else kept_until(policy, steps[-1].done_at),
                )
            )
    return found


def still_served(workspace: Workspace) -> dict[str, int]:
    """Requests that are removed from the merge and whose data the champion holds: its version.

    A run was interrupted before the new model was registered, or something stopped it there.
    """
    with workspace.lineage.reader() as reader:
        champion = reader.champion(workspace.settings.model.name)
        found = {
            row.request_id: _still_served_by(reader, row, reader.steps(row.request_id), champion)
            for row in reader.requests()
        }
    return {name: version for name, version in found.items() if version is not None}


def require_none_still_served(workspace: Workspace) -> None:
    """Raise StillServedError where the champion holds somebody who is removed already."""
    served = still_served(workspace)
    if served:
        facts, remedy = still_served_in_words(served)
        raise StillServedError(facts, remedy=remedy)


def still_served_in_words(served: Mapping[str, int]) -> tuple[str, str]:
    """Facts and remedy."""
    names, version = ", ".join(served), max(served.values())
    remedy = f"register the model without them: `sift opt-out run {' '.join(served)}`."
    return f"The champion, version {version}, still serves what {names} removed.", remedy


def _still_served_by(
    reader: Reader,
    request: RequestRecord,
    steps: Sequence[StepRecord],
    champion: ModelVersionRecord | None,
) -> int | None:
    names = {step.step for step in steps}
    # Once the new version is champion, the old one is none.
    if champion is None or "removed" not in names or "registered" in names:
        return None
    held = reader.impact(request.contributor_key, request.records).versions
    return champion.version if champion.version in {row.version for row in held} else None
