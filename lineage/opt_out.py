"""The states of an opt-out, their order, and every guard that holds it.

This file is the only place that knows the order and who may approve. What is done stands in the
table `opt_out_step`; where to go on is read from there, so a killed process simply runs again. A
step is recorded before the next one acts on it.

    received → identified → approved → removed → verified → evaluated → registered → purged
        → reported; or rejected (until removed), or failed, with a reason
"""

import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from lineage.errors import OptOutOrderError

STEPS = (
    "received",
    "identified",
    "approved",
    "removed",
    "verified",
    "evaluated",
    "registered",
    "purged",
    "reported",
)
REJECTED: Final = "rejected"
FAILED = "failed"
TERMINAL = frozenset({STEPS[-1], REJECTED, FAILED})
UNFULFILLED = frozenset({REJECTED, FAILED})
"""Endings that leave the contributor's data where it was."""

APPROVED: Final = "approved"
"""The decision beside `rejected`, and the step that rests on it."""


def next_step(done: Collection[str]) -> str | None:
    """Return the first step not yet done, or None when the request has ended."""
    if not TERMINAL.isdisjoint(done):
        return None
    return next(step for step in STEPS if step not in done)


def may_advance(request_id: str, done: Collection[str], step: str) -> bool:
    """Return True if `step` is the next one to record, False if it is recorded already.

    Raises OptOutOrderError for an unknown step, a step out of turn, a rejection of what is removed
    already, or a request that has ended.
    """
    if step in done:
        return False
    expected = next_step(done)
    if expected is None:
        raise OptOutOrderError(
            f"{request_id} has ended and cannot take the step {step!r}.",
            remedy="file a new request: sift opt-out request ID --basis BASIS.",
        )
    if step == REJECTED and "removed" in done:
        raise OptOutOrderError(
            f"{request_id} cannot be rejected: the model without the contributor is made.",
            remedy="to keep what is not destroyed yet, place a legal hold: sift opt-out hold.",
        )
    if step not in (expected, REJECTED, FAILED):
        raise OptOutOrderError(
            f"{request_id} stands before {expected!r} and cannot take the step {step!r}.",
            remedy=f"run it again: sift opt-out run {request_id}.",
        )
    return True


def require_upcoming(request_id: str, done: Collection[str], step: str) -> None:
    """Raise OptOutOrderError unless `step` is the next one of a request that has not ended."""
    if next_step(done) != step:
        raise OptOutOrderError(
            f"{request_id} does not stand before {step!r}.",
            remedy=f"see where it stands: sift opt-out status {request_id}.",
        )


def require_decidable(request_id: str, done: Collection[str], decision: str) -> None:
    """Raise OptOutOrderError where a decision comes too late: after the end, or after removal."""
    if decision == REJECTED and REJECTED in done:
        return
    if next_step(done) is None:
        raise OptOutOrderError(
            f"{request_id} has ended, and there is nothing to decide.",
            remedy=f"see how it ended: sift opt-out status {request_id}.",
        )
    if decision == REJECTED:
        may_advance(request_id, done, REJECTED)


def require_approval(request_id: str, approvers: Collection[str]) -> None:
    """Raise OptOutOrderError where nobody has approved: without a name the step does not exist.

    How many must approve, and who may, is policy: see `ApprovalRule`.
    """
    if not approvers:
        raise OptOutOrderError(
            f"Nobody has approved {request_id}.",
            remedy=f"decide first: sift opt-out approve {request_id} --by NAME --reason TEXT.",
        )


@dataclass(frozen=True)
class ApprovalRule:
    """Who may approve what cannot be undone, and how many of them it takes.

    `approvers` by name; empty: whoever gives a name. Where it takes two `persons`, none of them is
    the one who filed the request.
    """

    approvers: tuple[str, ...] = ()
    persons: int = 1

    def refusal(self, actor: str, filed_by: str | None) -> str | None:
        """Say why this person's approval of a request does not count; None where it does."""
        if self.approvers and _person(actor) not in map(_person, self.approvers):
            return "is not among those who may approve"
        if self.persons > 1 and filed_by is None:
            return "cannot be told from who filed the request, since nobody is recorded as that"
        if self.persons > 1 and filed_by is not None and _person(actor) == _person(filed_by):
            return "filed the request, and two other persons must approve"
        return None

    def missing(self, actors: Iterable[str], filed_by: str | None) -> int:
        """Return how many more persons must approve, given those who have."""
        counted = {_person(actor) for actor in actors if not self.refusal(actor, filed_by)}
        return max(0, self.persons - len(counted))


def _person(name: str) -> str:
    """One spelling for one name: two spellings are not two persons."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
