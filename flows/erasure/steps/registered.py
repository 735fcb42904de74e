"""`registered`: the model without who left serves, before anything old is destroyed."""

from collections.abc import Sequence

from flows.erasure.request import Request, done_together
from flows.erasure.results import NothingBuilt, Registered
from flows.erasure.steps.step import Step
from flows.models.evaluate import write_metrics
from flows.models.register import promote, register
from flows.workspace.current_state import current_state_or_none


def register_new(requests: Sequence[Request]) -> None:
    """Register the new state and make it the champion."""
    place = requests[0].workspace
    state = current_state_or_none(place)
    if state is None:
        done_together(requests, "registered", NothingBuilt(nothing_built=True))
        return
    version = register(place, state, write_metrics(place, state))
    promote(place, version)
    result = Registered(
        model=version.name,
        version=version.version,
        served_sha256=version.served_sha256,
        state_sha256=state.state_sha256,
    )
    done_together(requests, "registered", result)


STEP = Step("registered", register_new)
