"""Several adapters in one batch: PEFT's mixed batches, over slots that are filled for the asking.

PEFT takes a second to add an adapter to a model of 210 layers, and tells the layers which row has
which by hooks that a forward pass leaves behind where it fails, for the next batch to be answered
by. So every layer gets slots that hold a B (and a head) of their own while a batch is asked and
nothing afterwards; A, which is the same for everybody, scaling and dropout are those of the adapter
that the model was loaded with. The arithmetic is PEFT's.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import Linear
from peft.tuners.lora.layer import LoraLayer
from peft.utils import AuxiliaryTrainingWrapper, ModulesToSaveWrapper
from torch import nn

from sift_core import lora
from sift_core.serving import Weights

LOADED = "default"
"""What PEFT calls the adapter that a model was loaded with."""

_PROBES = (3, 4), (5, 6)
"""Rows and tokens; of rows and of tokens no two are the same."""


class Slots:
    """Places for adapters in a model with one, so that the rows of a batch may differ in theirs."""

    def __init__(self, model: PeftModel) -> None:
        modules = dict(model.named_modules())
        self._lora = {
            lora.peft_name(f"{name}.lora_B.{LOADED}.weight"): layer
            for name, layer in modules.items()
            if isinstance(layer, Linear) and LOADED in layer.lora_B
        }
        self._heads = {
            lora.peft_name(f"{name}.modules_to_save.{LOADED}.weight").removesuffix(".weight"): layer
            for name, layer in modules.items()
            if isinstance(layer, ModulesToSaveWrapper)
        }
        self._own: list[dict[str, _Linear]] = []

    @property
    def layers(self) -> list[nn.Module]:
        """The layers in which rows differ."""
        return [*self._lora.values(), *self._heads.values()]

    @property
    def names(self) -> list[str]:
        """What a PEFT folder calls the tensors that a slot takes."""
        heads = (
            f"{name}.{own}"
            for name, head in self._heads.items()
            for own, _ in head.original_module.named_parameters()
        )
        return [*self._lora, *heads]

    @contextmanager
    def filled(self, adapters: Sequence[Weights]) -> Iterator[list[str]]:
        """Put each adapter into a slot while the block runs; the names of the slots.

        An adapter has its tensors by the names that they have in a PEFT folder.
        """
        while len(self._own) < len(adapters):
            self._own.append(self._made(_name(len(self._own))))
        slots = list(zip(self._own, adapters, strict=False))
        try:
            for own, weights in slots:
                for name, linear in own.items():
                    linear.take(name, weights)
            yield [_name(number) for number in range(len(slots))]
        finally:
            for own, _ in slots:
                for linear in own.values():
                    linear.weight = linear.bias = None

    @contextmanager
    def mixing(self, names: Sequence[str]) -> Iterator[None]:
        """Answer each row of a batch by the adapter of this name while the block runs."""
        for layer in self._lora.values():  # whatever was put back in it as it was loaded
            layer.scaling |= dict.fromkeys(names, layer.scaling[LOADED])
        hook = partial(_told, names=list(names))
        with ExitStack() as stack:
            for layer in self.layers:
                stack.enter_context(layer.register_forward_pre_hook(hook, with_kwargs=True))
            yield

    def _made(self, name: str) -> "dict[str, _Linear]":
        own = {}
        for stored, layer in self._lora.items():
            own[stored] = layer.lora_B[name] = _Linear()
            layer.lora_A[name] = layer.lora_A[LOADED]
            layer.lora_dropout[name] = layer.lora_dropout[LOADED]
        for stored, head in self._heads.items():
            own[stored] = head.modules_to_save[name] = _Linear()
        return own


class _Linear(nn.Module):
    """A linear layer of one slot. What it holds are no parameters: the model has them not."""

    weight: torch.Tensor | None = None
    bias: torch.Tensor | None = None

    def take(self, name: str, weights: Weights) -> None:
        """Take the tensors of this name: one of a B, or a weight and perhaps a bias of a head."""
        if name in weights:
            self.weight = weights[name]
        else:
            self.weight, self.bias = weights[f"{name}.weight"], weights.get(f"{name}.bias")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, inputs) -> (…, outputs)."""
        return nn.functional.linear(x, self.weight, self.bias)  # type: ignore[arg-type]


def takes_mixed_batches(model: PeftModel) -> bool:
    """Whether the rows of a batch may differ in their adapter.

    They may where every adapter is at a plain linear layer, every head is one, and each of these
    layers sees one entry for each row, whatever the number of rows and tokens. Experts, which share
    out the tokens of all rows, do not: if each saw as many tokens as there are rows for one length,
    it would not for another.
    """
    adapted = [
        layer
        for layer in model.modules()
        if isinstance(layer, LoraLayer | AuxiliaryTrainingWrapper)
    ]
    if not all(
        isinstance(layer, Linear) or isinstance(getattr(layer, "original_module", None), nn.Linear)
        for layer in adapted
    ):
        return False
    return all(
        sizes == {rows}
        for rows, tokens in _PROBES
        for sizes in _sizes_seen(model, adapted, rows, tokens)
    )


@torch.inference_mode()
def _sizes_seen(
    model: PeftModel, layers: Sequence[nn.Module], rows: int, tokens: int
) -> list[set[int]]:
    """How many entries each layer saw of a made-up batch, in all of its calls."""
    seen: list[set[int]] = [set() for _ in layers]
    ids = torch.arange(rows * tokens).reshape(rows, tokens) % model.config.vocab_size
    with ExitStack() as stack:
        for sizes, layer in zip(seen, layers, strict=True):
            note = partial(_noted, sizes=sizes)
            stack.enter_context(layer.register_forward_pre_hook(note))
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
    return seen


def _noted(layer: nn.Module, args: tuple[Any, ...], *, sizes: set[int]) -> None:
    sizes.add(len(args[0]))


def _told(
    layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, names: list[str]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, {**kwargs, "adapter_names": names}


def _name(number: int) -> str:
    return f"slot{number}"
