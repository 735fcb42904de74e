"""A checkpoint of our own: a folder of configuration, tokenizer and safetensors, nothing else.

The one place that a model is loaded from: to finetune and to score it, to score it with weights
that stay on disk, to serve it. What comes from elsewhere becomes such a folder first
(`base_source`).
"""

from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import init_empty_weights
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from sift_core.errors import ModelError
from sift_core.foreign_errors import border

RESTORE = "restore the folder, with `dvc checkout` or from a backup, and load it again."


def load_model(
    folder: Path, *, generates: bool, dtype: torch.dtype | Literal["auto"] = "auto"
) -> PreTrainedModel:
    """The model of a folder, a causal LM or a sequence classifier; "auto" is the dtype on disk.

    Raises ModelError, also where a weight is missing: transformers would draw it.
    """
    with border(f"The model in {folder} does not load", RESTORE):
        model, report = auto_model(generates).from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    require_all(str(folder), report["missing_keys"])
    found: PreTrainedModel = model
    return found


def outline(folder: Path, *, generates: bool) -> PreTrainedModel:
    """The model of a folder without weights: its parameters have shapes, and no memory."""
    with border(f"The model in {folder} does not load", RESTORE):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        with init_empty_weights(include_buffers=False):
            model: PreTrainedModel = auto_model(generates).from_config(config, dtype=torch.float32)
        model.tie_weights()
    return model


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder, with a pad token. Raises ModelError."""
    with border(f"The tokenizer in {folder} does not load", RESTORE):
        return tokenizer_of(pretrained_model_name_or_path=str(folder), local_files_only=True)


def tokenizer_of(**place: Any) -> PreTrainedTokenizerBase:
    """The tokenizer that transformers finds at a place, with a pad token."""
    tokenizer = AutoTokenizer.from_pretrained(**place)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def classes_of(config: PreTrainedConfig) -> tuple[str, ...]:
    """The names of the classes of a classifier's head, in their order."""
    return tuple(str(config.id2label[index]) for index in sorted(config.id2label))


def auto_model(generates: bool) -> Any:
    """Transformers' class that loads a causal LM, or a sequence classifier."""
    return AutoModelForCausalLM if generates else AutoModelForSequenceClassification


def require_all(where: str, missing: list[str] | set[str]) -> None:
    """Raise ModelError where a weight is missing: transformers fills it with random numbers."""
    if missing:
        raise ModelError(
            f"The model in {where} lacks {len(missing)} parameters, first {min(missing)!r}.",
            remedy="name a complete model; only causal language models have no `base.labels`.",
        )
