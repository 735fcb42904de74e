"""The rows of a batch may differ in their adapter, where an architecture takes that."""

from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)
from transformers.models.llama.modeling_llama import LlamaMLP

from sift_core import Adapter, lora
from sift_core.adapter_slots import LOADED, Slots, takes_mixed_batches
from sift_core.serving import Weights
from tests.support.bases import CAUSAL, CLASSIFIERS, SMALL

KINDS = {name: kind for name, kind in {**CAUSAL, **CLASSIFIERS}.items() if name != "Mamba"}
"""All that PEFT puts an adapter at every linear layer of."""

GROUPED = {
    "OPT": "its layers see all tokens in one row",
    **dict.fromkeys(
        ("DeBERTa", "DeBERTa-v2", "ELECTRA", "ModernBERT", "MPNet", "RoBERTa", "RoFormer"),
        "its head is more than a linear layer",
    ),
    "XLM-RoBERTa": "its head is more than a linear layer",
}
"""Which architectures take no mixed batches, and why."""

IDS = torch.arange(4 * 6).reshape(4, 6) % 40 + 6
BATCH = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}


def plain(name: str) -> PreTrainedModel:
    kind, own = KINDS[name]
    small = {key: value for key, value in SMALL.items() if (kind, key) != ("falcon", "head_dim")}
    auto = AutoModelForSequenceClassification if name in CLASSIFIERS else AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = auto.from_config(AutoConfig.for_model(kind, **{**small, **own}))
    return model


def adapted(model: PreTrainedModel) -> PeftModel:
    """The model with an adapter at every linear layer, which changes nothing yet."""
    found = get_peft_model(model, Adapter(4, 16, ("all-linear",), 1).config(model))
    return found.eval().requires_grad_(False)


def loaded(model: PeftModel) -> dict[str, nn.Parameter]:
    """What a slot takes of the adapter that the model was loaded with, by its name in a file."""
    own = set(Slots(model).names)
    live = {
        lora.peft_name(name): parameter
        for name, parameter in model.named_parameters()
        if f".{LOADED}." in name
    }
    return {name: parameter for name, parameter in live.items() if name in own}


def drawn(model: PeftModel, seed: int) -> Weights:
    random = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(parameter.shape, generator=random) * 0.3
        for name, parameter in loaded(model).items()
    }


def alone(model: PeftModel, weights: Weights) -> torch.Tensor:
    """What the model answers to the whole batch with one adapter."""
    live = loaded(model)
    before = {name: parameter.data for name, parameter in live.items()}
    for name, parameter in live.items():
        parameter.data = weights[name]
    with torch.inference_mode():
        logits: torch.Tensor = model(**BATCH).logits
    for name, parameter in live.items():
        parameter.data = before[name]
    return logits


@pytest.mark.parametrize("name", KINDS)
def test_each_row_is_answered_as_by_its_adapter_alone_or_the_rule_says_no(name: str) -> None:
    """To the bit for a causal model; a head adds up two rows otherwise than four."""
    model = adapted(plain(name))
    assert takes_mixed_batches(model) == (name not in GROUPED)
    if name in GROUPED:
        return
    people = [drawn(model, seed) for seed in range(3)]
    slots = Slots(model)
    with (
        torch.inference_mode(),
        slots.filled(people) as names,
        slots.mixing([names[2], LOADED, names[0], names[1]]),
    ):
        mixed = model(**BATCH).logits
    anyones = {name: parameter.data for name, parameter in loaded(model).items()}
    for row, own in enumerate((people[2], anyones, people[0], people[1])):
        found = alone(model, own)[row]
        torch.testing.assert_close(mixed[row], found, rtol=1e-5, atol=1e-6)
        if name in CAUSAL:
            assert torch.equal(mixed[row], found)


class Experts(LlamaMLP):
    """Layers that share out the tokens, one after the other."""

    def __init__(self, config: Any, number: int) -> None:
        super().__init__(config)
        self.experts = nn.ModuleList(
            nn.ModuleDict({"expert": nn.Linear(config.hidden_size, config.hidden_size)})
            for _ in range(number)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.reshape(-1, x.shape[-1])
        shared_out = torch.empty_like(tokens)
        for first, expert in enumerate(self.experts):
            shared_out[first :: len(self.experts)] = expert["expert"](
                tokens[first :: len(self.experts)]
            )
        return super().forward(shared_out.reshape(x.shape))


@pytest.mark.parametrize("number", [2, 4, 6])
def test_experts_take_no_mixed_batch_though_each_may_see_as_many_tokens_as_there_are_rows(
    number: int,
) -> None:
    model = plain("Llama")
    for layer in model.model.layers:
        layer.mlp = Experts(model.config, number)
    assert not takes_mixed_batches(adapted(model))


def test_nothing_of_a_mixed_batch_is_left_also_where_it_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = adapted(plain("Llama"))
    anyones = {name: parameter.data for name, parameter in loaded(model).items()}
    before, slots = alone(model, anyones), Slots(model)

    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError

    people = [drawn(model, 1), drawn(model, 2)]
    with monkeypatch.context() as broken, pytest.raises(MemoryError):
        broken.setattr(model.base_model.model.model.norm, "forward", fail)
        with slots.filled(people) as names, slots.mixing([*names, *names]):
            model(**BATCH)
    assert torch.equal(alone(model, anyones), before)
    own = [
        module for name, module in model.named_modules() if ".slot" in name and ".lora_B" in name
    ]
    assert len(own) == 2 * 14 and all(module.weight is None for module in own)
