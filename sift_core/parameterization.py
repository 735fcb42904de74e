"""What of a model trains, what it is called, and where it starts: the seam under the method.

A task vector, a mask, a merge know names, shapes and θ0, and nothing of what they belong to.

| kind         | what trains                         | names             | θ0        |
|--------------|-------------------------------------|-------------------|-----------|
| full weights | parameters of the model             | the model's       | as stored |
| adapters     | B of a LoRA adapter at each target  | PEFT's state dict | 0         |
|              | beside it, the head of a classifier | PEFT's state dict | as stored |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn

from sift_core import lora
from sift_core.errors import ModelError
from sift_core.weights_folder import SERVED, LazyWeights, StoredWeights

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Attached:
    """The parameters of one model that train, by name, and what else was put into it."""

    trained: Mapping[str, nn.Parameter]
    added: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Frozen tensors that no file of the base has, by the name that they have in the model."""


class Parameterization(Protocol):
    """How a model gets its trainable parameters."""

    def attach(self, model: PreTrainedModel) -> Attached:
        """Let these parameters of a model train, and no others. Raises ModelError for none."""


@dataclass(frozen=True)
class FullWeights:
    """The model's own parameters whose names match a pattern (shell style, `*` for all).

    Embeddings and the output head are frozen, as in the paper.
    """

    train_only: Sequence[str] = ("*",)

    def attach(self, model: PreTrainedModel) -> Attached:
        """Choose among the parameters that there are."""
        frozen = _embeddings_and_head(model)
        trained = {}
        for name, parameter in model.named_parameters():
            parameter.requires_grad = (
                _matches(name, self.train_only) and id(parameter) not in frozen
            )
            if parameter.requires_grad:
                trained[name] = parameter
        if not trained:
            raise ModelError(
                f"No parameter outside embeddings and head matches {list(self.train_only)}.",
                remedy="set finetune.train_only in params.yaml to patterns such as '*.layer.5.*'.",
            )
        return Attached(trained)


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter at each target, of which B trains; a classifier's head trains beside it.

    ΔW = alpha/rank · B·A. A is drawn from `seed`, frozen, and the same for everybody, so that ΔW is
    linear in B and the sum of the contributors' B *is* the sum of their changes (frozen A:
    FFA-LoRA, arXiv 2403.12313). `targets` are last names of linear layers, as PEFT takes them
    (`q_proj`), patterns of whole names, or "all-linear"; of these, what matches `train_only`.
    """

    rank: int
    alpha: int
    targets: Sequence[str]
    seed: int
    train_only: Sequence[str] = ("*",)

    def attach(self, model: PreTrainedModel) -> Attached:
        """Put the adapters in, as PEFT does."""
        chosen = self.config(model)
        head = tuple(chosen.modules_to_save or ())
        lora.inject(model, chosen)
        added, trained = {}, {}
        for live, parameter in model.named_parameters():
            name = lora.peft_name(live)
            if lora.is_projection(name):
                added[live] = lora.projection(self.seed, name, *parameter.shape)
                if not parameter.is_meta:
                    parameter.data.copy_(added[live])
            parameter.requires_grad = lora.is_factor(name) or live.partition(".")[0] in head
            if parameter.requires_grad:
                trained[name] = parameter
        return Attached(trained, added)

    def config(self, model: PreTrainedModel) -> LoraConfig:
        """PEFT's configuration of the adapters of a model. Raises ModelError for none."""
        layers = [
            name
            for name in lora.linear_layers(model)
            if lora.is_target(name, self.targets) and _matches(f"{name}.weight", self.train_only)
        ]
        if not layers:
            raise ModelError(
                f"No linear layer matches finetune.adapter.targets {list(self.targets)} and "
                f"finetune.train_only {list(self.train_only)}.",
                remedy="set targets to all-linear, or to names such as q_proj.",
            )
        head = [name for name in lora.head_modules(model) if self._trains(model, name)]
        return lora.config(model, layers, head, self.rank, self.alpha)

    def _trains(self, model: PreTrainedModel, module: str) -> bool:
        names = [name for name, _ in model.get_submodule(module).named_parameters()]
        return all(_matches(f"{module}.{name}", self.train_only) for name in names)


def start(stored: StoredWeights, shapes: Mapping[str, tuple[int, ...]]) -> LazyWeights:
    """θ0 of parameters of either kind, tensor by tensor, from the folder of a base.

    Raises ModelError where the folder stores one under another name, or in a dtype that is not
    served.
    """
    for name in shapes:
        _require_served(stored, lora.stored_name(name))

    def make(name: str) -> torch.Tensor:
        kept = lora.stored_name(name)
        if lora.is_factor(name):
            return torch.zeros(shapes[name], dtype=stored.places[kept].dtype)
        return stored[kept]

    return LazyWeights(shapes, make)


def _require_served(stored: StoredWeights, name: str) -> None:
    if name not in stored.places:
        raise ModelError(
            f"{stored.folder} stores {name!r} under another name, so it could not be served.",
            remedy="leave it out of finetune.train_only, and of finetune.adapter.targets.",
        )
    if stored.places[name].dtype not in SERVED:
        raise ModelError(
            f"{stored.folder} has {name!r} in {stored.places[name].dtype}, not float32 or "
            "bfloat16.",
            remedy="make the base again with base.dtype float32 or bfloat16.",
        )


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _embeddings_and_head(model: PreTrainedModel) -> set[int]:
    """The ids of all embedding parameters and of the language model's output head."""
    modules = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    head = model.get_output_embeddings()
    if head is not None:
        modules.append(head)
    return {id(parameter) for module in modules for parameter in module.parameters()}
