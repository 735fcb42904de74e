"""A base model asked once as a champion made from it will be: a champion must answer somebody."""

from pathlib import Path

import pandas as pd
import torch

from flows.serving.card import ModelCard
from flows.serving.model import COLUMNS, SiftModel
from flows.settings import Settings
from sift_core.base import folder_sha256
from sift_core.borders import border

_NOTHING = "0" * 64


def try_serving(settings: Settings, base: Path) -> None:
    """Load a base folder as a registered version is loaded, and ask it for a made-up row.

    Raises ModelError where nobody could ever ask a model made from it.
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
        members={},
        sign_seed=settings.exactness.sign_seed,
        grid_bits=settings.exactness.grid_bits,
        labels=list(settings.base.labels),
        max_length=settings.base.max_length,
    )
    asked = pd.DataFrame({COLUMNS[task]: ["What is this about?"]})
    with (
        torch.random.fork_rng(),
        border(
            "A model made from this base could not be asked",
            "name a base model that transformers loads and asks by itself.",
        ),
    ):
        model = SiftModel()
        model.load(base, card)
        model.predict(None, asked, {} if settings.base.labels else {"max_new_tokens": 1})
