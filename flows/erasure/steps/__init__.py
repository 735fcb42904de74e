"""The steps of an opt-out after its receipt, one file each, in lineage's order.

The last of them writes evidence, so they stand above `flows.evidence`; what they share, and what
each leaves, is in `flows.erasure`. docs/how-to/add-a-step.md adds one.
"""

from flows.erasure.steps import (
    approved,
    evaluated,
    identified,
    purged,
    registered,
    removed,
    reported,
    verified,
)
from flows.erasure.steps.step import Step
from lineage import opt_out

STEPS: dict[str, Step] = {
    one.STEP.name: one.STEP
    for one in (
        identified,
        approved,
        removed,
        verified,
        evaluated,
        registered,
        purged,
        reported,
    )
}
"""By name, in order."""
if ("received", *STEPS) != opt_out.STEPS:
    raise AssertionError(f"{list(STEPS)} are not the steps of lineage, {opt_out.STEPS[1:]}")
