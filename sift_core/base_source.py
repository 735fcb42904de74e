"""Where a base model comes from: a Hugging Face id, a folder, a `.gguf` file; all of it foreign."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from sift_core.base_folder import is_local
from sift_core.checkpoint import auto_model, classes_of, require_all, tokenizer_of
from sift_core.errors import ModelError
from sift_core.foreign_errors import border

ANOTHER = (
    "name a Hugging Face id or a folder with config, tokenizer and safetensors that the installed "
    "release of transformers reads."
)
_GGUF_QUANTIZATION = "quantization_config"


@dataclass(frozen=True)
class Fetched:
    """A model as it was fetched; a classifier's head may be drawn."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    commit: str | None
    """At which commit a Hugging Face id was; None of files."""


def fetch(
    source: str, labels: Sequence[str], dtype: torch.dtype, revision: str | None = None
) -> Fetched:
    """Load a base model to make one's own from; `labels` empty means a causal LM.

    A classifier without a head gets one, from torch's random numbers as they are. Raises
    ModelError.
    """
    _require_pinned(source, revision)
    place: dict[str, str] = {"pretrained_model_name_or_path": source}
    if revision is not None:
        place["revision"] = revision
    if source.endswith(".gguf"):
        path = Path(source)
        place = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    own: tuple[str, ...] = ()
    classes = {}
    with border(f"Base model {source!r} does not load", ANOTHER):
        tokenizer = tokenizer_of(**place)
        if labels:
            own = _given_names(AutoConfig.from_pretrained(**place))
            classes = {
                "id2label": dict(enumerate(labels)),
                "label2id": {label: index for index, label in enumerate(labels)},
            }
        model, report = auto_model(not labels).from_pretrained(
            **place, dtype=dtype, output_loading_info=True, **classes
        )
    drawn = {name for name in report["missing_keys"] if labels and _may_be_new(name, model)}
    require_all(repr(source), set(report["missing_keys"]) - drawn)
    if not drawn and own and own != tuple(labels):
        raise ModelError(
            f"The head of base model {source!r} was trained for the classes {list(own)}, in this "
            f"order; base.labels are {list(labels)}.",
            remedy=f"set base.labels to {list(own)} in a new workspace, or name the classes in "
            "`id2label` of the checkpoint's config.json as your rows do.",
        )
    model.config.pad_token_id = tokenizer.pad_token_id
    commit = None if is_local(source) else _commit(source, revision)
    return Fetched(_plain(model) if "gguf_file" in place else model, tokenizer, commit)


def _commit(source: str, revision: str | None) -> str:
    """At which commit a Hugging Face id was fetched just now: its cache is laid out by commits."""
    with border(f"The commit of base model {source!r} cannot be told", ANOTHER):
        fetched = hf_hub_download(source, "config.json", revision=revision, local_files_only=True)
    return Path(fetched).parent.name


def _require_pinned(source: str, revision: str | None) -> None:
    if revision is not None and is_local(source):
        raise ModelError(
            f"base.revision is {revision!r}, and base.source {source!r} is a file or folder.",
            remedy="set base.revision to null: it pins a Hugging Face id.",
        )


def _given_names(config: PreTrainedConfig) -> tuple[str, ...]:
    """What a checkpoint calls the classes of its head, in order; empty where it does not say."""
    names = classes_of(config)
    return () if all(name == f"LABEL_{index}" for index, name in enumerate(names)) else names


def _may_be_new(name: str, model: PreTrainedModel) -> bool:
    """Whether a parameter is of a classifier's head: a new one is drawn from the seed."""
    return not name.startswith(f"{model.base_model_prefix}.") or ".pooler." in name


def _plain(model: PreTrainedModel) -> PreTrainedModel:
    """The same weights without the mark of the GGUF file, which refuses to be saved."""
    config = type(model.config).from_dict(
        {k: v for k, v in model.config.to_dict().items() if k != _GGUF_QUANTIZATION}
    )
    plain = type(model)(config)
    plain.load_state_dict(model.state_dict())
    if model.can_generate():
        plain.generation_config = model.generation_config
    return plain
