"""Sign-fixed finetuning: one contributor, alone, from the base weights (arXiv 2504.04626, §3).

After *each* optimizer step every entry of θ − θ0 that points against the sign vector is set back
to 0. The paper's prose projects after the step, its pseudocode before, which would leave the last
step unprojected: we follow the prose.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from sift_bytes import sha256_of
from sift_core.base import BaseModel, load_base
from sift_core.distributed import in_processes, require_same_everywhere
from sift_core.encoding import Encoded
from sift_core.finetune_settings import FinetuneSettings
from sift_core.fixed_point import Grid
from sift_core.parameterization import Parameterization
from sift_core.signs import SignVector
from sift_core.task_vector import TaskVector
from sift_core.trainer import train


@dataclass(frozen=True)
class Finetuned:
    """What one finetuning gives: the task vector and the loss at every step."""

    vector: TaskVector
    losses: list[float]


class SignFix:
    """Keeps θ − θ0 in the orthant of the sign vector, step by step, in any training loop.

    The projection is a clamp: entry by entry, θ ≥ θ0 where v = +1 and θ ≤ θ0 where v = −1. NaN
    stays NaN, so a broken run is seen. `base` holds θ0 by name, on the parameters' device.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        base: Mapping[str, torch.Tensor],
        signs: SignVector,
    ) -> None:
        self._bounds = []
        for name, parameter in parameters.items():
            positive = torch.from_numpy(signs.positive(name, tuple(parameter.shape)))
            positive = positive.to(parameter.device)
            start = base[name].to(parameter.dtype)
            infinity = torch.full_like(start, torch.inf)
            lowest = torch.where(positive, start, -infinity)
            highest = torch.where(positive, infinity, start)
            self._bounds.append((parameter, lowest, highest))

    def attach(self, optimizer: torch.optim.Optimizer) -> RemovableHandle:
        """Project after every `optimizer.step()`, whoever calls it; detach with `.remove()`."""
        return optimizer.register_step_post_hook(lambda *_: self.project())

    @torch.no_grad()
    def project(self) -> None:
        """Set every entry that points against the sign vector back to θ0."""
        for parameter, lowest, highest in self._bounds:
            parameter.clamp_(lowest, highest)


@contextmanager
def finetuned(
    base: BaseModel,
    examples: Encoded,
    settings: FinetuneSettings,
    signs: SignVector | None,
) -> Iterator[list[float]]:
    """The live model finetuned from θ0 on `examples`, θ0 again afterwards; the loss of every step.

    Without `signs` nothing is projected: the ordinary finetuning that other methods merge. Raises
    NonFiniteError; θ0 is restored then, too.
    """
    parameters = base.parameters()
    optimizer = torch.optim.Adam(parameters.values(), lr=settings.learning_rate)
    if signs is not None:
        SignFix(parameters, base.trainable, signs).attach(optimizer)
    full_batch = len(examples) < settings.full_batch_below
    batch_size = len(examples) if full_batch else settings.batch_size
    base.load(base.trainable)
    try:
        yield train(
            base.model,
            examples,
            optimizer,
            settings.steps,
            -(-batch_size // settings.processes),
            settings.seed,
            settings.max_grad_norm,
            settings.precision,
            settings.gradient_checkpointing,
        )
    finally:
        base.load(base.trainable)


def finetune(
    base: BaseModel, examples: Encoded, signs: SignVector, grid: Grid, settings: FinetuneSettings
) -> Finetuned:
    """Finetune one contributor from θ0; the live model is θ0 again afterwards.

    Deterministic from (base, examples, signs, grid, settings) on one machine: it sees no other
    contributor. Several processes load the base for themselves and leave the live model alone.
    Raises NonFiniteError, GridOverflowError, ReplicaError; θ0 is restored then, too.
    """
    if settings.processes == 1:
        return _finetune(base, examples, signs, grid, settings)
    place = _Place(
        base.folder, base.labels, base.parameterization, base.model.device.type, base.base_id
    )
    found: Finetuned = in_processes(
        settings.processes, place.device, _share, place, examples, signs, grid, settings
    )
    return found


def _finetune(
    base: BaseModel, examples: Encoded, signs: SignVector, grid: Grid, settings: FinetuneSettings
) -> Finetuned:
    with finetuned(base, examples, settings, signs) as losses:
        vector = TaskVector.between(base.trainable, base.parameters(), signs, grid)
    return Finetuned(vector, losses)


@dataclass(frozen=True)
class _Place:
    """What a process loads the base model by."""

    folder: Path
    labels: tuple[str, ...]
    parameterization: Parameterization
    device: str
    base_id: str

    def load(self) -> BaseModel:
        device = "cpu" if self.device == "cpu" else f"{self.device}:{os.environ['LOCAL_RANK']}"
        return load_base(self.folder, self.labels, self.parameterization, device, self.base_id)


def _share(
    place: _Place, examples: Encoded, signs: SignVector, grid: Grid, settings: FinetuneSettings
) -> Finetuned:
    """What one of several processes does: the whole finetuning, on its share of each batch."""
    result = _finetune(place.load(), examples, signs, grid, settings)
    require_same_everywhere(sha256_of(result.vector.to_bytes()))
    return result
