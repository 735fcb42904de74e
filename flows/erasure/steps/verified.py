"""`verified`: the merge is rebuilt from who stays, and must be the same bytes."""

from collections.abc import Sequence

from flows.erasure.request import Request, done_together
from flows.erasure.steps.step import of_the_state
from flows.models.verify import verify_state
from flows.training.retention import drop_joined
from flows.workspace.recorded_files import damaged_members
from lineage import MergeStateRecord


def verify(requests: Sequence[Request], state: MergeStateRecord) -> None:
    """Rebuild the merge from the remaining vectors and compare bits. Raises ExactnessError.

    The rebuilt state never saw who left: it is the reference that the removal must equal, byte for
    byte. Where only masks are kept, digests take its place.
    """
    workspace = requests[0].workspace
    verification = verify_state(workspace, damaged=damaged_members(workspace, state.state_seq))
    verification.require()
    for request in requests:
        drop_joined(workspace, request.key)
    done_together(requests, "verified", verification)


STEP = of_the_state("verified", verify)
