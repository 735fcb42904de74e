"""Doubts about a removal, put to the test: is anything of the leaver still in the model?

Every probe is run on two models, the one that is served after the removal and the *reference*, a
model that never saw the leaver, and the two answers are compared two-sided. A low score by itself
says nothing: a model may know a fact from elsewhere, or be worse than one that never saw it, and
"lower is better" would call both a success or a failure by chance. Without a reference there is no
audit.

After an exact removal both are the same weights, so every pair of curves coincides; a removal that
left one tensor behind is seen.

The probes: membership inference by loss (Yeom et al., arXiv 1709.01604) and by the loss set against
that of the base model (Watson et al., "difficulty calibration", arXiv 2111.08440); the probability
of each answer, asked as in the data and in other words; a relearning attack (a few steps on half of
the rows, how quickly do the others come back?); and canaries (Carlini et al., arXiv 1802.08232).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from sift_core.base import BaseModel
from sift_core.errors import MissingReferenceError
from sift_core.examples import Encoded
from sift_core.losses import row_losses
from sift_core.training import train

Losses = NDArray[np.float64]
Weights = Mapping[str, torch.Tensor]

RELEARNED = "loss of the other half while half is relearned, by step"


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

    @property
    def passed(self) -> bool:
        """Whether no probe can tell the model from the one that never saw the leaver."""
        return not self.failed

    @property
    def failed(self) -> tuple[Probe, ...]:
        """The probes that can."""
        return tuple(p for p in self.probes if not p.difference <= self.tolerance)


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
    was scored elsewhere. Raises MissingReferenceError.
    """
    if reference is None:
        raise MissingReferenceError(
            "There is no model that never saw the leaver to compare with.",
            remedy="audit while the other contributors' vectors are kept: the reference is the "
            "merge of them alone. A score without it would say nothing.",
        )
    attack = relearning or Relearning()
    of_base = _losses(base, base.model, rows.forgotten), _losses(base, base.model, rows.unseen)
    ours, theirs = (
        _answers(base, weights, rows, of_base, attack) for weights in (after, reference)
    )
    probes = (Probe(name, ours[name], theirs[name], name == RELEARNED) for name in ours)
    return RemovalAudit(tuple(probes), tolerance)


def _answers(
    base: BaseModel,
    weights: Weights,
    rows: AuditRows,
    of_base: tuple[Losses, Losses],
    attack: Relearning,
) -> dict[str, tuple[float, ...]]:
    with base.serving(weights) as model:
        known, unknown = _losses(base, model, rows.forgotten), _losses(base, model, rows.unseen)
        rephrased = _losses(base, model, rows.rephrased)
        exposures = tuple(exposure(_losses(base, model, canary)) for canary in rows.canaries)
    answers = {
        "membership inference by loss, AUC": (_auc(-known, -unknown),),
        "membership inference by loss against the base, AUC": (
            _auc(of_base[0] - known, of_base[1] - unknown),
        ),
        "probability of each forgotten answer": tuple(np.exp(-known).tolist()),
        "probability of each, asked in other words": tuple(np.exp(-rephrased).tolist()),
        RELEARNED: _relearned(base, weights, rows.forgotten, attack),
    }
    if exposures:
        answers["exposure of each canary, bits"] = exposures
    return answers


def _relearned(
    base: BaseModel, weights: Weights, forgotten: Encoded, attack: Relearning
) -> tuple[float, ...]:
    """The mean loss of the second half of the rows before and after each step on the first half."""
    half = max(1, len(forgotten) // 2)
    shown = Encoded(forgotten.rows[:half], forgotten.collate)
    asked = Encoded(forgotten.rows[half:] or forgotten.rows, forgotten.collate)
    with base.serving(weights) as model:
        curve = [float(_losses(base, model, asked).mean())]
        if attack.steps:
            optimizer = torch.optim.Adam(base.parameters().values(), lr=attack.learning_rate)
        for step in range(attack.steps):
            train(model, shown, optimizer, 1, len(shown), attack.seed + step)
            curve.append(float(_losses(base, model, asked).mean()))
        model.eval()
    return tuple(curve)


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
    return float((above + 0.5 * equal).mean())
