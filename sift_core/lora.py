"""LoRA adapters as PEFT makes them, with the projection A drawn and frozen.

    y = W x + alpha/rank · B (A x)

PEFT puts the layers in and does the arithmetic; ours is the choice of A. Every entry of it is an
odd integer of 8 bits and a sign times a power of two: exact in float32, bfloat16 and float16,
symmetric, never 0, and uniform within about ±1/√inputs, PEFT's own initial distribution. It is
drawn by counter, so no file has to keep it.

PEFT and transformers take seconds to import, and names are told without: they are imported within.

Names are those of PEFT's state dict, under which `PeftModel.from_pretrained` finds the tensors.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from sift_core.foreign_errors import border
from sift_core.philox import words

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel

ALL_LINEAR = "all-linear"
"""PEFT's word for every linear layer but the output head."""

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
"""What a PEFT folder holds."""

_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"
_LIVE = ".default"
"""What a name in a model has, after `lora_A`, that a name in a file has not."""
_BYTES_PER_WORD = 8
_FRACTION = 8
"""Bits of A's integers behind the point."""


def linear_layers(model: PreTrainedModel) -> list[str]:
    """The names of all linear layers within the model's body: no output head, no classifier."""
    body = f"{model.base_model_prefix}." if hasattr(model, model.base_model_prefix) else ""
    head = model.get_output_embeddings()
    return [
        name
        for name in _every_linear_layer(model)
        if name.startswith(body) and model.get_submodule(name) is not head
    ]


def _every_linear_layer(model: PreTrainedModel) -> list[str]:
    from transformers.pytorch_utils import Conv1D

    return [
        name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)
    ]


def head_modules(model: PreTrainedModel) -> list[str]:
    """The modules of a classifier outside the model's body, which hold parameters."""
    if model.can_generate():
        return []
    return [
        name
        for name, module in model.named_children()
        if name != model.base_model_prefix and any(True for _ in module.parameters())
    ]


def is_target(layer: str, targets: Sequence[str]) -> bool:
    """Whether targets name a layer: by its last name, as PEFT's do, or by a pattern of it all."""
    own = layer.rpartition(".")[2]
    return any(
        target == ALL_LINEAR or own == target or fnmatch(layer, target) for target in targets
    )


def config(
    model: PreTrainedModel, layers: Sequence[str], head: Sequence[str], rank: int, alpha: int
) -> LoraConfig:
    """PEFT's configuration of an adapter at these layers, as it lies beside the weights."""
    from peft import LoraConfig, TaskType
    from transformers.pytorch_utils import Conv1D

    generates = model.can_generate()
    transposed = any(isinstance(model.get_submodule(layer), Conv1D) for layer in layers)
    return LoraConfig(
        task_type=TaskType.CAUSAL_LM if generates else TaskType.SEQ_CLS,
        r=rank,
        lora_alpha=alpha,
        target_modules=shortest(layers, _every_linear_layer(model)),
        modules_to_save=sorted(head) or None,
        fan_in_fan_out=transposed,
        lora_dropout=0.0,
        bias="none",
        inference_mode=True,
    )


def shortest(layers: Sequence[str], every: Iterable[str]) -> list[str]:
    """How to name some layers among all: by their last names where these name no others.

    Servers of many adapters look for `q_proj`, not for where each one is.
    """
    own = {layer.rpartition(".")[2] for layer in layers}
    named = [layer for layer in every if layer.rpartition(".")[2] in own]
    return sorted(own if len(named) == len(layers) else layers)


def inject(model: PreTrainedModel, chosen: LoraConfig) -> None:
    """Put an adapter's layers into a model, in place; B is 0. Raises ModelError."""
    from peft import LoraConfig, inject_adapter_in_model

    chosen = LoraConfig(**{**chosen.to_dict(), "modules_to_save": None, "inference_mode": False})
    with (
        _hushed(),
        border(
            "PEFT cannot put an adapter into the base model",
            "set finetune.adapter.targets to layers that it can, or finetune.adapter to null.",
        ),
    ):
        inject_adapter_in_model(chosen, model)


def adapted(model: PreTrainedModel, folder: Path) -> PeftModel:
    """A model with the adapter of a PEFT folder, in the dtypes it has there. Raises ModelError."""
    from peft import PeftModel

    with (
        _hushed(),
        border(
            f"The adapter in {folder} does not load",
            "restore the folder, with `dvc checkout` or from a backup.",
        ),
    ):
        return PeftModel.from_pretrained(model, folder, autocast_adapter_dtype=False)


@contextmanager
def _hushed() -> Iterator[None]:
    """PEFT asks transformers in words that it means to forget."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
        yield


def plain_name(live: str) -> str:
    """What the base model calls a parameter of its own in which `inject` put an adapter's layer."""
    return live.replace(".base_layer.", ".")


def peft_name(live: str) -> str:
    """What a file calls a parameter of a model with an adapter in it.

    Both of a model that `inject` changed and of a `PeftModel`.
    """
    name = live.removeprefix(_PREFIX).replace(".modules_to_save.default.", ".")
    for factor in ("lora_A", "lora_B"):
        name = name.replace(f".{factor}{_LIVE}.", f".{factor}.")
    return _PREFIX + plain_name(name)


def is_projection(name: str) -> bool:
    """Whether a name in a file is of an A."""
    return name.startswith(_PREFIX) and name.endswith(_A)


def is_factor(name: str) -> bool:
    """Whether a name in a file is of a B."""
    return name.startswith(_PREFIX) and name.endswith(_B)


def stored_name(name: str) -> str:
    """Under which name the base's folder has the parameter that one is, or is beside.

    B stands beside its layer's weight, whose dtype it has; a head's is the base's own.
    """
    return name.removeprefix(_PREFIX).removesuffix(_B).removesuffix(_A) + (
        ".weight" if is_factor(name) or is_projection(name) else ""
    )


def projection(seed: int, name: str, rank: int, inputs: int) -> torch.Tensor:
    """A of one layer, by its name in a file: float32 of shape (rank, inputs).

    Odd integers in [−255, 255] times 2^−(8 + s), where 2^−s is within a factor √2 of 1/√inputs.
    """
    count = rank * inputs
    drawn = words("adapter", seed, name, 0, -(-count // _BYTES_PER_WORD))
    odd = drawn.astype("<u8").view(np.uint8)[:count].astype(np.float32) * 2 - 255
    scale = 2.0 ** -(_FRACTION + inputs.bit_length() // 2)
    return torch.from_numpy(odd * np.float32(scale)).reshape(rank, inputs)


def projections(
    factors: Mapping[str, tuple[int, ...]], base: Mapping[str, tuple[int, ...]], seed: int
) -> dict[str, torch.Tensor]:
    """Every A that stands beside these B, by its name in a file.

    `factors` are the shapes of all B, `base` those of the base's weights.
    """
    found = {}
    for name, (outputs, rank) in factors.items():
        shape = list(base[stored_name(name)])
        shape.remove(outputs)  # (outputs, inputs), or the other way round (Conv1D)
        other = name.removesuffix(_B) + _A
        found[other] = projection(seed, other, rank, shape[0])
    return found


def config_text(chosen: LoraConfig, base: str | None, revision: str | None = None) -> str:
    """`adapter_config.json` as PEFT reads it, in an order that is always the same.

    `base` is the Hugging Face id of the base model, None where it has none.
    """
    fields: dict[str, Any] = {
        name: sorted(value) if isinstance(value, set) else value
        for name, value in chosen.to_dict().items()
    }
    fields |= {"base_model_name_or_path": base, "revision": revision}
    return json.dumps(fields, indent=2, sort_keys=True) + "\n"
