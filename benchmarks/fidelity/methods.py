"""What each method serves, to its members and to anyone else, given who is merged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

import sift_core
from benchmarks import merging_rules as rules
from benchmarks.fidelity.finetunings import Finetunings, Kind
from benchmarks.merging_rules import Vector
from sift_core import Grid, MergeState
from sift_core.serving import Weights

SCALES = (0.1, 0.3, 0.5, 0.8, 1.0)
"""Of the consensus sum, beside 1/T: the usual grid of task arithmetic."""


@dataclass(frozen=True)
class Served:
    """One method's models. `stranger` is what serves everybody who is not a member."""

    stranger: Callable[[], Weights]
    member: Callable[[str], Weights] | None = None
    """None: members are served like strangers."""
    chosen: str = ""
    """What was tuned on training rows, for the record."""


Quality = Callable[[Callable[[str], Weights]], float]
"""Mean quality of weights by member on the training rows of those whom tuning may see."""

Method = Callable[[Finetunings, Sequence[str], Quality], Served]


def zero_shot(kept: Finetunings, _members: Sequence[str], _quality: Quality) -> Served:
    """The base model."""
    return Served(lambda: kept.population.base.trainable)


def local(kept: Finetunings, _members: Sequence[str], _quality: Quality) -> Served:
    """Everybody keeps their own model: nothing is merged."""
    return Served(
        lambda: kept.population.base.trainable,
        lambda name: kept.weights(kept.ordinary([name])[0]),
    )


def sift_local(kept: Finetunings, _members: Sequence[str], _quality: Quality) -> Served:
    """Everybody keeps their own sign-fixed model: what sign-fixing alone costs."""
    return Served(
        lambda: kept.population.base.trainable,
        lambda name: kept.weights(kept.sign_fixed_floats([name])[0]),
    )


def central(kept: Finetunings, members: Sequence[str], _quality: Quality) -> Served:
    """One finetuning on everybody's rows."""
    moved = kept.central(members)
    return Served(lambda: kept.weights(moved))


def ft_merge(kept: Finetunings, members: Sequence[str], _quality: Quality) -> Served:
    """The mean of ordinary task vectors."""
    summed = rules.total(kept.ordinary(members))
    return _mean(kept, summed, len(members))


def ties(kept: Finetunings, members: Sequence[str], _quality: Quality) -> Served:
    """TIES at its default: keep 20 %, scale 1."""
    merged = rules.ties(kept.ordinary(members))
    return Served(lambda: kept.weights(merged))


def tall(kept: Finetunings, members: Sequence[str], quality: Quality) -> Served:
    """TALL masks on the sum; strangers get the mean."""
    summed = rules.total(kept.ordinary(members))
    strictness = _tall_strictness(kept, members, summed, quality)
    return Served(
        _mean(kept, summed, len(members)).stranger,
        _tall_member(kept, summed, strictness),
        chosen=f"λ = {strictness:g}",
    )


def consensus(kept: Finetunings, members: Sequence[str], quality: Quality) -> Served:
    """The entries of the sum that at least two TALL masks keep, scaled."""
    vectors = kept.ordinary(members)
    summed = rules.total(vectors)
    strictness = _tall_strictness(kept, members, summed, quality)
    needed = min(rules.CONSENSUS_TASKS, len(members))
    kept_sum = summed * rules.consensus_mask(vectors, summed, strictness, needed)

    def scaled(scale: float) -> Callable[[], Weights]:
        return lambda: kept.weights(kept_sum * np.float32(scale))

    scales = (1 / len(members), *SCALES)
    best = max(scales, key=lambda scale: quality(lambda _: scaled(scale)()))
    return Served(scaled(best), chosen=f"λ = {strictness:g}, scale = {best:.3g}")


def emr(kept: Finetunings, members: Sequence[str], _quality: Quality) -> Served:
    """EMR: members get the unified vector masked and rescaled, strangers as it is."""
    unified = rules.emr_unified(kept.ordinary(members))

    def member(name: str) -> Weights:
        return kept.weights(rules.emr_served(kept.ordinary([name])[0], unified))

    return Served(lambda: kept.weights(unified), member)


def sift_merge(kept: Finetunings, members: Sequence[str], _quality: Quality) -> Served:
    """The mean of sign-fixed task vectors, no mask."""
    served = _served(kept, members)
    return Served(lambda: served)


def sift_masks(kept: Finetunings, members: Sequence[str], _quality: Quality) -> Served:
    """The paper's form in integers: the mean over all members under each member's mask."""
    base, served = kept.population.base.trainable, _served(kept, members)
    return Served(
        lambda: served, lambda name: sift_core.masked_weights(base, served, kept.mask(name))
    )


def sift_masks_counted(kept: Finetunings, members: Sequence[str], _quality: Quality) -> Served:
    """What this platform serves: a member gets the mean over the members who moved an entry."""
    base, state = kept.population.base.trainable, state_of(kept, members)
    shared = sift_core.members_weights(base, state)
    served = sift_core.served_weights(base, state, len(members))
    return Served(
        lambda: served, lambda name: sift_core.masked_weights(base, shared, kept.mask(name))
    )


def sift_masks_float(kept: Finetunings, members: Sequence[str], _quality: Quality) -> Served:
    """SIFT-Masks as the paper has it: float32 sums of vectors that were never rounded."""
    mean = rules.total(kept.sign_fixed_floats(members)) / np.float32(len(members))

    def member(name: str) -> Weights:
        return kept.weights(mean * (kept.sign_fixed_floats([name])[0] != 0))

    return Served(lambda: kept.weights(mean), member)


INDEPENDENT: dict[str, Method] = {
    "base (zero-shot)": zero_shot,
    "local models": local,
    "local, sign-fixed": sift_local,
}
"""Methods whose models do not depend on who else is a member: scored once."""

FLOAT_FORM = "SIFT-Masks, float32"
COUNTED = "SIFT-Masks, counted"
CENTRAL = "central finetuning"

MERGING: dict[str, Method] = {
    "FT+Merge": ft_merge,
    "TIES": ties,
    "TALL-masks": tall,
    "Consensus": consensus,
    "EMR-merging": emr,
    "SIFT+Merge": sift_merge,
    COUNTED: sift_masks_counted,
    "SIFT-Masks": sift_masks,
    FLOAT_FORM: sift_masks_float,
}

METHODS = {**INDEPENDENT, **MERGING, CENTRAL: central}

_SIGN_FIXED = {"local, sign-fixed", "SIFT+Merge", COUNTED, "SIFT-Masks", FLOAT_FORM}
_OF_NOBODY = {"base (zero-shot)", CENTRAL}


def needed(method: str) -> tuple[Kind, ...]:
    """The finetunings of contributors alone that a method opens."""
    if method in _OF_NOBODY:
        return ()
    return ("sign-fixed",) if method in _SIGN_FIXED else ("ordinary",)


def state_of(kept: Finetunings, members: Sequence[str]) -> MergeState:
    """The merge state of these members, from their stored vectors."""
    return MergeState.rebuild(
        (kept.vector(name) for name in members),
        kept.population.base.shapes,
        Grid(kept.experiment.grid_bits),
        kept.experiment.sign_seed,
    )


def _served(kept: Finetunings, members: Sequence[str]) -> Weights:
    state = state_of(kept, members)
    return sift_core.served_weights(kept.population.base.trainable, state, len(members))


def _mean(kept: Finetunings, summed: Vector, members: int) -> Served:
    return Served(lambda: kept.weights(summed / np.float32(members)))


def _tall_member(kept: Finetunings, summed: Vector, strictness: float) -> Callable[[str], Weights]:
    def member(name: str) -> Weights:
        mask = rules.tall_mask(kept.ordinary([name])[0], summed, strictness)
        return kept.weights(summed * mask)

    return member


def _tall_strictness(
    kept: Finetunings, members: Sequence[str], summed: Vector, quality: Quality
) -> float:
    if tuple(members) not in kept.strictness:
        kept.strictness[tuple(members)] = max(
            rules.TALL_LAMBDAS, key=lambda value: quality(_tall_member(kept, summed, value))
        )
    return kept.strictness[tuple(members)]
