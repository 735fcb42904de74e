"""Doubts about a removal, put to the test: is anything of the leaver still in the model?

Every probe is run on two models, the one that is served after the removal and the *reference*, a
model that never saw the leaver, and the two answers are compared two-sided. A low score by itself
says nothing: a model may know a fact from elsewhere, or be worse than one that never saw it, and
"lower is better" would call both a success or a failure by chance. Without a reference there is no
audit.

After an exact removal both are the same weights, so every pair of curves coincides; a removal that
left one tensor behind is seen.

An audit doubts a removal that bits have shown already, so what cannot be *asked* never stops one: a
question in other words may be longer than what is read, a relearning may end in NaN. Such rows and
probes are left out and listed. Likewise where the same bits answer otherwise when asked again: that
is the device. What differs between different models is an alarm, and so is a question that one of
them answers and the other does not.

The probes: membership inference by loss (Yeom et al., arXiv 1709.01604) and by the loss set against
that of the base model (Watson et al., "difficulty calibration", arXiv 2111.08440); the probability
of each answer, asked as in the data and in other words; a relearning attack (a few steps on half of
the rows, how quickly do the others come back?); and canaries (Carlini et al., arXiv 1802.08232).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from sift_core.base import BaseModel
from sift_core.collector import frozen
from sift_core.encoding import Encoded
from sift_core.errors import (
    DataError,
    MissingReferenceError,
    ModelError,
    NonFiniteError,
    SiftCoreError,
)
from sift_core.losses import row_losses
from sift_core.trainer import train

Losses = NDArray[np.float64]
Weights = Mapping[str, torch.Tensor]

REPHRASED = "probability of each, asked in other words"
EXPOSURE = "exposure of each canary, bits"
RELEARNED = "loss of the other half while half is relearned, by step"
NOT_REPEATED = "the same model answers otherwise when it is asked again"

_ABOUT_ASKING = (DataError, ModelError, NonFiniteError)
"""Of our own errors those that say that a question could not be put; the rest is about files."""


@dataclass(frozen=True)
class LeftOut:
    """What could not be asked: so many rows of a probe, and why. Never a row's own words."""

    probe: str
    rows: int
    because: str


@dataclass(frozen=True)
class AuditRows:
    """The rows that the probes look at, all of one contributor."""

    forgotten: Encoded
    """What trained the vector that was removed."""
    unseen: Encoded
    """What trained nothing: held out, the yardstick of membership inference."""
    rephrased: Encoded
    """`forgotten`, asked in other words, row by row."""
    canaries: Sequence[Encoded] = ()
    """Each a canary's row with its true answer first and answers that were not planted after it."""
    left_out: Sequence[LeftOut] = ()
    """Rows that are not among these because the base model cannot read them."""


@dataclass(frozen=True)
class Relearning:
    """The relearning attack: so many steps of Adam on the first half of the forgotten rows."""

    steps: int = 5
    learning_rate: float = 1e-4
    seed: int = 0


@dataclass(frozen=True)
class Probe:
    """One question put to both models: a number each, one per row, or a curve."""

    name: str
    model: tuple[float, ...]
    reference: tuple[float, ...]
    is_curve: bool = False
    """Whether the numbers are steps of one curve, in order."""

    @property
    def difference(self) -> float:
        """The largest distance between the two, in either direction."""
        # NaN stays NaN, and is within no tolerance.
        return float(np.abs(np.subtract(self.model, self.reference)).max(initial=0.0))


@dataclass(frozen=True)
class RemovalAudit:
    """What all probes found. `tolerance` is 0 where the removal is claimed to be exact."""

    probes: tuple[Probe, ...]
    tolerance: float = 0.0
    left_out: tuple[LeftOut, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no probe can tell the model from the one that never saw the leaver."""
        return not self.failed

    @property
    def failed(self) -> tuple[Probe, ...]:
        """The probes that can."""
        return tuple(p for p in self.probes if not p.difference <= self.tolerance)


@frozen()
def audit_removal(
    base: BaseModel,
    after: Weights,
    reference: Weights | None,
    rows: AuditRows,
    relearning: Relearning | None = None,
    tolerance: float = 0.0,
) -> RemovalAudit:
    """Run every probe on the model after a removal and on the one that never saw the leaver.

    `after` and `reference` are unmasked served weights. On one machine equal weights give equal
    numbers, so `tolerance` (nats, shares or bits, as the probe has it) is 0 unless the reference
    was scored elsewhere. What cannot be asked, or not repeated, is left out. Raises
    MissingReferenceError, and the errors of weights that are read from files.
    """
    if reference is None:
        raise MissingReferenceError(
            "There is no model that never saw the leaver to compare with.",
            remedy="audit while the other contributors' vectors are kept: the reference is the "
            "merge of them alone. A score without it would say nothing.",
        )
    attack = relearning or Relearning()
    of_base = _Asked(base, base.trainable, rows, attack, None)
    ours, theirs = (_Asked(base, w, rows, attack, of_base) for w in (after, reference))
    probes: list[Probe] = []
    left_out = list(rows.left_out)
    for name, ask in PROBES.items():
        looked_at = _looked_at(name, rows)
        if not looked_at:
            continue  # there is no such row, or each of them is left out above
        answers = [_answer(ask, asked) for asked in (ours, theirs)]
        refused = next((answer for answer in answers if isinstance(answer, str)), None)
        numbers = [(np.nan,) if isinstance(answer, str) else answer for answer in answers]
        probe = Probe(name, numbers[0], numbers[1], name == RELEARNED)
        if refused is None and probe.difference <= tolerance:
            probes.append(probe)
        elif answers[0] == answers[1] or _same_weights(after, reference):
            left_out.append(LeftOut(name, looked_at, refused or NOT_REPEATED))
        else:
            probes.append(probe)
    return RemovalAudit(tuple(probes), tolerance, tuple(left_out))


def _looked_at(probe: str, rows: AuditRows) -> int:
    """How many rows a probe is about."""
    if probe == EXPOSURE:
        return len(rows.canaries)
    return len((rows.rephrased if probe == REPHRASED else rows.forgotten).records)


Answer = tuple[float, ...]


@dataclass(frozen=True)
class _Asked:
    """One of the two models; what several probes need of it is asked once."""

    base: BaseModel
    weights: Weights
    rows: AuditRows
    attack: Relearning
    of_base: "_Asked | None"
    """The base model, asked the same; None where this is the base model."""

    def losses(self, rows: Encoded) -> Losses:
        """Of each row alone, by this model."""
        with self.base.serving(self.weights) as model:
            return _losses(self.base, model, rows)

    @cached_property
    def forgotten(self) -> Losses:
        return self.losses(self.rows.forgotten)

    @cached_property
    def unseen(self) -> Losses:
        return self.losses(self.rows.unseen)


def _membership(asked: _Asked) -> Answer:
    return (_auc(-asked.forgotten, -asked.unseen),)


def _membership_against_base(asked: _Asked) -> Answer:
    base = cast(_Asked, asked.of_base)
    return (_auc(base.forgotten - asked.forgotten, base.unseen - asked.unseen),)


def _probability(asked: _Asked) -> Answer:
    return tuple(np.exp(-asked.forgotten).tolist())


def _rephrased(asked: _Asked) -> Answer:
    return tuple(np.exp(-asked.losses(asked.rows.rephrased)).tolist())


def _exposures(asked: _Asked) -> Answer:
    return tuple(exposure(asked.losses(canary)) for canary in asked.rows.canaries)


def _relearned(asked: _Asked) -> Answer:
    """The mean loss of the second half of the rows before and after each step on the first half."""
    base, forgotten, attack = asked.base, asked.rows.forgotten, asked.attack
    half = max(1, len(forgotten.records) // 2)
    shown = forgotten.of(forgotten.records[:half])
    question = forgotten.of(forgotten.records[half:] or forgotten.records)
    curve: list[float] = []
    with base.serving(asked.weights) as model:

        def measure() -> None:
            curve.append(float(_losses(base, model, question).mean()))

        measure()
        if attack.steps:
            optimizer = torch.optim.Adam(base.parameters().values(), lr=attack.learning_rate)
            train(
                model,
                shown,
                optimizer,
                attack.steps,
                len(shown),
                attack.seed,
                after_step=measure,
            )
    return tuple(curve)


PROBES: Mapping[str, Callable[[_Asked], Answer]] = {
    "membership inference by loss, AUC": _membership,
    "membership inference by loss against the base, AUC": _membership_against_base,
    "probability of each forgotten answer": _probability,
    REPHRASED: _rephrased,
    RELEARNED: _relearned,
    EXPOSURE: _exposures,
}
"""Every question there is, in the order of the report."""


def _answer(ask: Callable[[_Asked], Answer], asked: _Asked) -> Answer | str:
    """What a model answers, or why it could not be asked: the kind of the error alone.

    An error's words may be a row's, and this stays when the rows have gone.
    """
    try:
        numbers = ask(asked)
    except Exception as error:
        if isinstance(error, SiftCoreError) and not isinstance(error, _ABOUT_ASKING):
            raise
        cause = error.__cause__ if isinstance(error, ModelError) else None
        return f"it ended in {type(cause or error).__name__}"
    return numbers if np.isfinite(numbers).all() else "what came out is no finite number"


def _same_weights(ours: Weights, theirs: Weights) -> bool:
    """Whether two models are the same bits: then only the asking of one of them has failed."""
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[name], theirs[name]) for name in ours
    )


def _losses(base: BaseModel, model: PreTrainedModel, rows: Encoded) -> Losses:
    return row_losses(model, rows, base.scored_at_once)


def exposure(losses: Losses) -> float:
    """How much a canary stands out, in bits: log2(answers) − log2(rank of the true one).

    `losses` has the true answer first. log2(answers) says that the model prefers it to all others,
    about 1 is chance. Carlini et al., arXiv 1802.08232, §4.
    """
    rank = 1 + int((losses[1:] < losses[0]).sum())
    return float(np.log2(len(losses)) - np.log2(rank))


def _auc(members: Losses, others: Losses) -> float:
    """P(a member scores above another row), ties counted half: the area under the ROC curve."""
    above = members[:, None] > others[None, :]
    equal = members[:, None] == others[None, :]
    return float((above + 0.5 * equal).mean()) if above.size else float("nan")
