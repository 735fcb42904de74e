"""Load a Hugging Face folder for serving: safetensors only, nothing from the network."""

from pathlib import Path

from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from sift_core.borders import border

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
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
