"""Load a Hugging Face folder for serving: safetensors only, nothing from the network."""

from pathlib import Path

from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from sift_core import base
from sift_core.foreign_errors import border

_RESTORE = "restore the folder, with `dvc checkout` or from a backup, and load it again."


def load_model(folder: Path, task: str) -> PreTrainedModel:
    """Return the model of a folder, in the dtype it was saved in, ready to predict.

    Raises ModelError.
    """
    kind = AutoModelForSequenceClassification if task == "classification" else AutoModelForCausalLM
    with border(f"The model in {folder} does not load", _RESTORE):
        model = kind.from_pretrained(
            folder, dtype="auto", use_safetensors=True, local_files_only=True
        )
    return model.eval().requires_grad_(False)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a folder, with a pad token. Raises ModelError."""
    with border(f"The tokenizer in {folder} does not load", _RESTORE):
        return base.load_tokenizer(str(folder), local_files_only=True)
