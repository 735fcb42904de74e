"""How a request stands: its step in words, decisions, deadlines, and what is pending."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flows.deadlines import Due, due
from flows.policy import kept_until
from flows.workspace import Workspace
from lineage import LegalHold, OptOutApproval, OptOutNotice, OptOutRequest, OptOutStep, PurgeObject


@dataclass(frozen=True)
class Standing:
    """Everything that lineage knows of one request."""

    request: OptOutRequest
    steps: Sequence[OptOutStep]
    next_step: str | None
    approvals: Sequence[OptOutApproval]
    notices: Sequence[OptOutNotice]
    hold: LegalHold | None
    deadlines: Sequence[Due]
    pending: Sequence[PurgeObject]
    """Listed for destruction and not yet shown to be gone."""
    kept_until: datetime | None
    """Until when the record of this request is kept; None before its end."""

    @property
    def state(self) -> str:
        """The state in one word: that of the state machine, `purging`, or `on hold`."""
        if self.next_step is not None and self.hold is not None:
            return "on hold"
        if self.next_step == "purged" and self.pending:
            return "purging"
        return self.steps[-1].step

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
            "deadlines": [row.as_dict() for row in self.deadlines],
            "pending": [row.model_dump(mode="json") for row in self.pending],
            "kept_until": self.kept_until and self.kept_until.isoformat(),
        }


def standing(workspace: Workspace, request_id: str | None = None) -> list[Standing]:
    """How one request stands, or all, oldest first."""
    deadlines = due(workspace, request_id)
    with workspace.lineage.reader() as reader:
        requests = [reader.request(request_id)] if request_id else reader.requests()
        holds = {row.contributor_key: row for row in reader.holds() if row.released_at is None}
        found = []
        for request in requests:
            name = request.request_id
            steps = reader.steps(name)
            upcoming = reader.next_step(name)
            objects = reader.purge_objects(name) if upcoming == "purged" else []
            policy = workspace.settings.policy
            found.append(
                Standing(
                    request=request,
                    steps=steps,
                    next_step=upcoming,
                    approvals=reader.approvals(name),
                    notices=reader.notices(name),
                    hold=holds.get(request.contributor_key),
                    deadlines=[row for row in deadlines if row.request_id == name],
                    pending=[row for row in objects if row.absent_at is None],
                    kept_until=None if upcoming else kept_until(policy, steps[-1].done_at),
                )
            )
    return found
