"""A base model asked once as a champion made from it will be: a champion must answer somebody."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch

from flows.integrations.mlflow.card import ModelCard
from flows.serving.model import COLUMNS, SiftModel
from flows.workspace.settings import Settings
from sift_core import Adapter, BaseModel, Grid, Kind, Mask, adapter_folder, masked_weights
from sift_core.errors import ModelError
from sift_core.foreign_errors import border
from sift_core.serving import Weights
from sift_core.serving_blocks import hand_over

_NOTHING = "0" * 64
_ASKED_BY_ITSELF = "name a base model that transformers loads and asks by itself."
_QUESTION = "What is this about?"


def try_serving(settings: Settings, base: BaseModel) -> None:
    """Load θ0 as a registered version is loaded, and ask it for a made-up row.

    Then once more with a made-up mask, as a member is served: of θ0 both are the same answer, but
    for rounding. Raises ModelError where nobody could ever ask a model made from it.
    """
    task = settings.base.task
    card = ModelCard(
        name=settings.model.name,
        task=task,
        base_id=base.base_id,
        base_folder=str(base.folder.absolute()),
        workspace=str(base.folder.parent),
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
        too_long=settings.data.too_long,
    )
    asked = pd.DataFrame({COLUMNS[task][0]: [_QUESTION]})
    params = {} if settings.base.labels else {"max_new_tokens": 1}
    with (
        torch.random.fork_rng(),
        TemporaryDirectory(prefix="sift-tryout-") as scratch,
        border("A model made from this base could not be asked", _ASKED_BY_ITSELF),
    ):
        model = SiftModel()
        model.load(_version(settings, base, Path(scratch)), card)
        model.predict(None, asked, params)
        anyone = _logits(model)
        with model.version.holding(_masked(base)):
            model.predict(None, asked, params)
            member = _logits(model)
    if not _alike(anyone, member):
        raise ModelError(
            "This base with the same weights elsewhere in memory, as members are served, answers "
            "otherwise.",
            remedy=_ASKED_BY_ITSELF,
        )


def _logits(model: SiftModel) -> torch.Tensor:
    """What the model says to the question, (1, tokens, vocabulary) or (1, classes)."""
    question = model.tokenizer([_QUESTION], return_tensors="pt")
    if model.card.task == "generation":
        question = {"input_ids": question["input_ids"]}
    with model.version.asking([None]) as asked, torch.inference_mode():
        return asked.logits(question, [0])


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether they are the same but for rounding.

    Where a tensor lies in memory decides by which instructions it is added up.
    """
    tolerance = torch.finfo(one.dtype).eps ** 0.5
    largest = one.abs().max().item()
    return torch.allclose(one.double(), other.double(), rtol=tolerance, atol=tolerance * largest)


def _version(settings: Settings, base: BaseModel, scratch: Path) -> Path:
    """The folder that a version of θ0 would have."""
    if not isinstance(base.parameterization, Adapter):
        return base.folder
    exactness = settings.exactness
    kind = Kind(base.shapes, Grid(exactness.grid_bits), exactness.sign_seed)
    with adapter_folder(scratch, base.folder, base.labels, base.parameterization, kind) as writer:
        hand_over(kind, base.trainable, writer)
    return scratch


def _masked(base: BaseModel) -> Weights:
    """What a member is served who moved every other entry."""
    theta = {name: own.cpu() for name, own in base.trainable.items()}
    bits = {
        name: (np.arange(own.numel()) % 2 == 0).reshape(own.shape) for name, own in theta.items()
    }
    return masked_weights(theta, theta, Mask(bits, 0))
