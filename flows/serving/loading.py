"""Load a Hugging Face folder for serving: safetensors only, nothing from the network."""

from pathlib import Path

from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)


def load_model(folder: Path, task: str) -> PreTrainedModel:
    """Return the model of a folder, in the dtype it was saved in, ready to predict."""
    kind = AutoModelForSequenceClassification if task == "classification" else AutoModelForCausalLM
    model = kind.from_pretrained(folder, dtype="auto", use_safetensors=True, local_files_only=True)
    return model.eval().requires_grad_(False)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a folder, with a pad token."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
