"""`reported`: the report is written, then the certificate that signs it."""

from collections.abc import Sequence

from flows.erasure.request import Request
from flows.erasure.results import Certified
from flows.erasure.set_aside import setting_aside
from flows.erasure.steps.step import Step
from flows.evidence.certify import end_request


def report_each(requests: Sequence[Request]) -> None:
    """End each request.

    Report and certificate are written before the step is recorded, and list it: a report that
    exists is whole.
    """
    with setting_aside() as aside:
        aside.each(requests, _end)


def _end(request: Request) -> None:
    ended = end_request(request.workspace, request.request_id)
    request.done(
        "reported",
        Certified(
            folder=f"reports/{request.request_id}",
            certificate=ended.sha256,
            sequence=ended.sequence,
        ),
        ended.at,
    )


STEP = Step("reported", report_each)
