"""`identified`: lineage lists everything that was made from what is withdrawn."""

from collections.abc import Sequence

from flows.erasure.identification import identify
from flows.erasure.request import Request
from flows.erasure.set_aside import setting_aside
from flows.erasure.steps.step import Step


def identify_each(requests: Sequence[Request]) -> None:
    """Find what each request is about."""
    with setting_aside() as aside:
        aside.each(requests, identify)


STEP = Step("identified", identify_each)
