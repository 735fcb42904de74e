"""`approved`: whoever the policy names has approved what cannot be undone."""

from collections.abc import Sequence

from flows.erasure.approvals import permit, record_approval
from flows.erasure.request import Request
from flows.erasure.set_aside import setting_aside
from flows.erasure.steps.step import Step


def approve_each(requests: Sequence[Request]) -> None:
    """Record who approved, of those that may go on."""
    with setting_aside() as aside:
        for request in aside.each(requests, permit):
            record_approval(request)


STEP = Step("approved", approve_each)
