"""What is left of who opted out: the removed model beside the one that never had them, in bits."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

import sift_core
from benchmarks import merging_rules as rules
from benchmarks.fidelity.finetunings import Finetunings
from benchmarks.fidelity.methods import state_of
from benchmarks.fidelity.scoring import Round


@dataclass(frozen=True)
class Removal:
    """One way of removing, compared with a merge of those who stay alone."""

    method: str
    size: int
    left: int
    differing: float
    """Share of the merge's entries that are other bits."""
    largest: float
    """The largest difference of a served weight."""
    identical: bool


def compare(kept: Finetunings, moments: Iterable[Round]) -> list[Removal]:
    """Subtract who left, by integers and by floats, and compare with the merge without them."""
    found = []
    for moment in moments:
        if moment.left:
            found += [_integers(kept, moment), _floats(kept, moment)]
    return found


def _integers(kept: Finetunings, moment: Round) -> Removal:
    names = kept.population.names
    removed = state_of(kept, names[: moment.size])
    for name in moment.departed(names):
        removed.accumulate(kept.vector(name), -1)
    never = state_of(kept, moment.members(names))
    differing = sum(
        int(np.count_nonzero(removed.sums[name] != sums)) for name, sums in never.sums.items()
    )
    entries = sum(sums.size for sums in never.sums.values())
    base, members = kept.population.base.trainable, len(moment.members(names))
    served, reference = (
        sift_core.served_weights(base, state, members) for state in (removed, never)
    )
    return Removal(
        "SIFT-Masks, integers (ours)",
        moment.size,
        moment.left,
        differing / entries,
        max(float((served[name] - reference[name]).abs().max()) for name in served),
        removed.to_bytes() == never.to_bytes()
        and sift_core.weights_sha256(served) == sift_core.weights_sha256(reference),
    )


def _floats(kept: Finetunings, moment: Round) -> Removal:
    names = kept.population.names
    removed = rules.total(kept.sign_fixed_floats(names[: moment.size]))
    for vector in kept.sign_fixed_floats(moment.departed(names)):
        removed -= vector
    members = moment.members(names)
    never = rules.total(kept.sign_fixed_floats(members))
    return Removal(
        "SIFT-Masks, float32 (paper)",
        moment.size,
        moment.left,
        float(np.mean(removed != never)),
        float(np.abs(removed - never).max()) / len(members),
        bool((removed == never).all()),
    )
