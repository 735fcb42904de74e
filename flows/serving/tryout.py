"""A base model asked once as a champion made from it will be: a champion must answer somebody."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel

from flows.integrations.mlflow.card import ModelCard
from flows.serving.masking import MaskedModels, masked_copy
from flows.serving.model import COLUMNS, SiftModel
from flows.workspace.settings import Settings
from sift_core import Mask
from sift_core.base import choose_trainable, folder_sha256
from sift_core.errors import ModelError
from sift_core.foreign_errors import border

_NOTHING = "0" * 64
_ASKED_BY_ITSELF = "name a base model that transformers loads and asks by itself."
_QUESTION = "What is this about?"


def try_serving(settings: Settings, base: Path) -> None:
    """Load a base folder as a registered version is loaded, and ask it for a made-up row.

    Then once more with a made-up mask, as a member is served: of θ0 both are the same answer, but
    for rounding. Raises ModelError where nobody could ever ask a model made from it.
    """
    task = settings.base.task
    card = ModelCard(
        name=settings.model.name,
        task=task,
        base_id=folder_sha256(base),
        workspace=str(base.parent),
        state_seq=1,
        state_sha256=_NOTHING,
        served_sha256=_NOTHING,
        members_sha256=_NOTHING,
        member_mean=settings.exactness.member_mean,
        members={},
        sign_seed=settings.exactness.sign_seed,
        grid_bits=settings.exactness.grid_bits,
        labels=list(settings.base.labels),
        max_length=settings.base.max_length,
    )
    asked = pd.DataFrame({COLUMNS[task]: [_QUESTION]})
    params = {} if settings.base.labels else {"max_new_tokens": 1}
    with (
        torch.random.fork_rng(),
        border("A model made from this base could not be asked", _ASKED_BY_ITSELF),
    ):
        model = SiftModel()
        model.load(base, card)
        model.predict(None, asked, params)
        anyone = _logits(model)
        model.models = MaskedModels(card, _masked(model, settings))
        model.predict(None, asked, params)
        member = _logits(model)
    if not _alike(anyone, member):
        raise ModelError(
            "A copy of this base, in which members are served, answers otherwise than the base.",
            remedy=_ASKED_BY_ITSELF,
        )


def _logits(model: SiftModel) -> torch.Tensor:
    """What the model says to the question, (1, tokens, vocabulary) or (1, classes)."""
    question = model.tokenizer([_QUESTION], return_tensors="pt")
    if model.card.task == "generation":
        question = {"input_ids": question["input_ids"]}
    with model.models.asking("") as fresh, torch.inference_mode():
        logits: torch.Tensor = fresh()(**question).logits
    return logits


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether they are the same but for rounding.

    Where a tensor lies in memory decides by which instructions it is added up.
    """
    tolerance = torch.finfo(one.dtype).eps ** 0.5
    largest = one.abs().max().item()
    return torch.allclose(one.double(), other.double(), rtol=tolerance, atol=tolerance * largest)


def _masked(model: SiftModel, settings: Settings) -> PreTrainedModel:
    """The model as it serves a member who moved every other entry."""
    unmasked = model.models.unmasked
    live = {name: value.detach() for name, value in unmasked.named_parameters()}
    names = choose_trainable(unmasked, settings.finetune.train_only)
    bits = {
        name: (np.arange(live[name].numel()) % 2 == 0).reshape(live[name].shape) for name in names
    }
    return masked_copy(unmasked, live, live, Mask(bits, settings.exactness.sign_seed))
