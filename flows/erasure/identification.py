"""Finding, by lineage, everything that was made from what a request withdraws."""

from flows.erasure.request import Request
from flows.erasure.results import Found


def identify(request: Request) -> None:
    """Record the step `identified` with SHA-256 or version of each."""
    impact = request.impact()
    request.done(
        "identified",
        Found(
            datasets=[row.sha256 for row in impact.datasets],
            task_vectors=[row.vector_sha256 for row in impact.vectors],
            masks=[row.mask_sha256 for row in impact.vectors],
            merge_states=[row.state_sha256 for row in impact.states],
            model_versions=[row.version for row in impact.versions],
        ),
    )
