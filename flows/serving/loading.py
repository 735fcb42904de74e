"""Load a model version for serving: safetensors only, nothing from the network."""

import os
from pathlib import Path
from typing import TypeAlias, cast

from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from flows.integrations.mlflow.card import ModelCard
from flows.serving.errors import AlteredError
from flows.workspace.here import WORKSPACE_VARIABLE
from sift_core import checkpoint, lora
from sift_core.base_folder import folder_sha256

BASE_VARIABLE = "SIFT_BASE"
"""Of the environment: where the base model lies that adapters are served on."""

Served: TypeAlias = PreTrainedModel | PeftModel
"""A model with all weights in it, or a base model with an adapter on it."""


def load_version(served: Path, card: ModelCard) -> Served:
    """What a version serves to anyone, ready to predict.

    A folder of adapters is put onto the base model, which is where the card or SIFT_BASE says.
    Raises ModelError, and AlteredError where the base is not the one it was made on.
    """
    if not is_adapter(served):
        return load_model(served, card.task)
    adapted = lora.adapted(load_model(base_folder(card), card.task), served)
    return cast(Served, adapted.eval().requires_grad_(False))


def load_version_tokenizer(served: Path, card: ModelCard) -> PreTrainedTokenizerBase:
    """The tokenizer of a version. Raises as `load_version`."""
    return checkpoint.load_tokenizer(base_folder(card) if is_adapter(served) else served)


def is_adapter(served: Path) -> bool:
    """Whether a version's folder holds adapters and no whole model."""
    return (served / lora.CONFIG_FILE).is_file()


def base_folder(card: ModelCard) -> Path:
    """The folder of the base model that a version was made on. Raises AlteredError."""
    named = os.environ.get(BASE_VARIABLE)
    folder = Path(named) if named else workspace_of(card) / card.base_folder
    if not folder.is_dir() or folder_sha256(folder) != card.base_id:
        raise AlteredError(
            f"{folder} is not the base model that {card.name} was built on, SHA-256 "
            f"{card.base_id[:16]}….",
            remedy="restore it with `dvc checkout base` in the workspace, or set "
            f"{BASE_VARIABLE} to a copy of it.",
        )
    return folder


def workspace_of(card: ModelCard) -> Path:
    """The workspace: SIFT_WORKSPACE, else the folder that the version was registered from."""
    return Path(os.environ.get(WORKSPACE_VARIABLE) or card.workspace)


def trained_names(model: Served) -> dict[str, str]:
    """What masks and weights call each parameter of a loaded version, by its name in the model."""
    rename = lora.peft_name if isinstance(model, PeftModel) else str
    return {name: rename(name) for name, _ in model.named_parameters()}


def load_model(folder: Path, task: str) -> PreTrainedModel:
    """The model of a folder, in the dtype it was saved in, ready to predict. Raises ModelError."""
    model = checkpoint.load_model(folder, generates=task == "generation")
    return model.eval().requires_grad_(False)
