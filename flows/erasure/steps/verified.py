"""`verified`: the merge is what who stays makes, derived or rebuilt."""

from collections.abc import Sequence

from flows.erasure.request import Request, done_together
from flows.erasure.steps.step import of_the_state
from flows.models.verify import verify_state
from flows.training.retention import drop_joined
from flows.workspace.recorded_files import damaged_members
from lineage import MergeStateRecord


def verify(requests: Sequence[Request], state: MergeStateRecord) -> None:
    """Prove the new merge, as far as `verify` in params.yaml says. Raises ExactnessError.

    Rebuilt from the remaining vectors it never saw who left: it is the reference that the removal
    must equal, byte for byte. Of more members it is derived: that costs the same for any number.
    """
    workspace = requests[0].workspace
    verification = verify_state(workspace, damaged=damaged_members(workspace, state.state_seq))
    verification.require()
    for request in requests:
        drop_joined(workspace, request.key)
    done_together(requests, "verified", verification)


STEP = of_the_state("verified", verify)
