"""`registered`: the model without who left serves, before anything old is destroyed."""

from collections.abc import Sequence

from flows.erasure.request import Request, done_together
from flows.erasure.results import Registered
from flows.erasure.steps.step import of_the_state
from flows.models.metrics import write_metrics
from flows.models.register import promote, register
from lineage import MergeStateRecord


def register_new(requests: Sequence[Request], state: MergeStateRecord) -> None:
    """Register the new state and make it the champion."""
    workspace = requests[0].workspace
    version = register(workspace, state, write_metrics(workspace, state))
    promote(workspace, version)
    result = Registered(
        model=version.name,
        version=version.version,
        served_sha256=version.served_sha256,
        members_sha256=version.members_sha256,
        state_sha256=state.state_sha256,
    )
    done_together(requests, "registered", result)


STEP = of_the_state("registered", register_new)
