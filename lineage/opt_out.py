"""The steps of an opt-out: their order and the one guard that holds it.

The list below is the only place that knows the order. What is done stands in the table
`opt_out_step`; where to go on is read from there, so a killed process simply runs again.
"""

from collections.abc import Collection

from lineage.errors import OptOutOrderError

STEPS = (
    "received",
    "identified",
    "removed",
    "verified",
    "evaluated",
    "registered",
    "purged",
    "reported",
)
FAILED = "failed"
TERMINAL = frozenset({STEPS[-1], FAILED})


def next_step(done: Collection[str]) -> str | None:
    """Return the first step not yet done, or None when the request has ended."""
    if not TERMINAL.isdisjoint(done):
        return None
    return next(step for step in STEPS if step not in done)


def may_advance(request_id: str, done: Collection[str], step: str) -> bool:
    """Return True if `step` is the next one to record, False if it is recorded already.

    Raises OptOutOrderError for an unknown step, a step out of turn, or a request that has ended.
    """
    if step in done:
        return False
    expected = next_step(done)
    if expected is None:
        raise OptOutOrderError(
            f"{request_id} has ended and cannot take the step {step!r}.",
            remedy="file a new request: sift opt-out request ID --basis BASIS.",
        )
    if step not in (expected, FAILED):
        raise OptOutOrderError(
            f"{request_id} stands before {expected!r} and cannot take the step {step!r}.",
            remedy=f"run it again: sift opt-out run {request_id}.",
        )
    return True
