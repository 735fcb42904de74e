"""The base model θ0: any Hugging Face causal LM or sequence classifier, by id or path."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import hf_hub_download
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)

from sift_bytes import file_sha256
from sift_core.base_requirements import require_fit
from sift_core.errors import ModelError
from sift_core.examples import Example, encode_examples
from sift_core.foreign_errors import border
from sift_core.module_state import ModuleState
from sift_core.parameterization import Parameterization, start
from sift_core.trainer import train
from sift_core.weights_folder import StoredWeights

_GGUF_QUANTIZATION = "quantization_config"

_ANOTHER = (
    "name a Hugging Face id or a folder with config, tokenizer and safetensors that the installed "
    "release of transformers reads."
)

Dtype = Literal["float32", "bfloat16"]
"""What θ0 is stored in, and served in."""


@dataclass(frozen=True)
class WarmStart:
    """Public data that trains a fresh classifier head once, before any contributor.

    It belongs to the base model and is never subject to an opt-out; lineage records its origin.
    """

    examples: Sequence[Example]
    epochs: int
    learning_rate: float
    batch_size: int = 16


@dataclass
class BaseModel:
    """A loaded base model. `trainable` maps the names that finetuning may move to θ0 (a copy).

    The live model is in float32; θ0 is in the dtype of the folder, float32 or bfloat16.
    """

    folder: Path
    base_id: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    labels: tuple[str, ...]
    parameterization: Parameterization
    trainable: Mapping[str, torch.Tensor]
    live: Mapping[str, nn.Parameter]
    """The parameters of `model` under `trainable`, by the same names."""
    entries: int
    """Parameters of the whole base model."""
    scored_at_once: int = 32
    """Rows of a batch where nothing trains. Logits take rows × tokens × vocabulary × 4 bytes."""
    state: ModuleState = field(init=False, repr=False)
    """All that the live model holds beside its parameters, as it was loaded."""

    def __post_init__(self) -> None:
        self.state = ModuleState(self.model)

    @property
    def trainable_entries(self) -> int:
        """Parameters that finetuning may move: d of the sign vector."""
        return sum(tensor.numel() for tensor in self.trainable.values())

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every trainable parameter."""
        return {name: tuple(tensor.shape) for name, tensor in self.trainable.items()}

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """What trains. Raises ModelError where nothing can."""
        return self.live

    @torch.no_grad()
    def load(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Copy weights into the live model, and put all else of it back as it was loaded.

        Whatever was finetuned or scored with it before is gone: `sift_core.module_state`.
        """
        self.state.put_back()
        for name, parameter in self.live.items():
            parameter.copy_(weights[name])

    @contextmanager
    def serving(self, weights: Mapping[str, torch.Tensor]) -> Iterator[PreTrainedModel]:
        """The live model with other weights; θ0 again afterwards."""
        self.load(weights)
        try:
            yield self.model
        finally:
            self.load(self.trainable)


def prepare_base(
    source: str,
    folder: Path,
    labels: Sequence[str],
    seed: int,
    max_length: int,
    warm_start: WarmStart | None = None,
    dtype: Dtype = "float32",
    shard_size: str | None = None,
    revision: str | None = None,
) -> str | None:
    """Make the base model of a workspace: a plain folder that `from_pretrained` loads.

    `source` is a Hugging Face id, a folder, or a `.gguf` file; `labels` empty means a causal LM,
    otherwise a classifier whose head is drawn from `seed`. θ0 is what is stored: weights of
    another dtype are rounded to `dtype` here, once. A file of weights takes up to `shard_size`
    ("2GB"; None: transformers' own choice). The same arguments give the same weights, a Hugging
    Face id where `revision` pins its commit; the one that it was fetched at is returned, None for
    files. Raises ModelError, also for a base that no workspace of this kind could work with
    (`base_requirements`).
    """
    set_seed(seed)
    chosen: torch.dtype = getattr(torch, dtype)
    trains = bool(labels) or warm_start is not None
    _require_pinned(source, revision)
    fetched_in = torch.float32 if trains else chosen
    model, tokenizer = _fetch(source, labels, bool(labels), fetched_in, revision)
    commit = None if is_local(source) else _commit(source, revision)
    with border(f"Base model {source!r} cannot be read", _ANOTHER):
        require_fit(model, tokenizer, max_length)
    if warm_start is not None:
        encoded = encode_examples(warm_start.examples, tokenizer, labels, max_length)
        steps = warm_start.epochs * -(-len(encoded) // warm_start.batch_size)
        optimizer = torch.optim.AdamW(model.parameters(), lr=warm_start.learning_rate)
        train(model, encoded, optimizer, steps, warm_start.batch_size, seed)
    model = model.to(chosen)
    size = {} if shard_size is None else {"max_shard_size": shard_size}
    with border(f"Base model {source!r} cannot be saved", _ANOTHER):
        model.save_pretrained(folder, **size)
        tokenizer.save_pretrained(folder)
    return commit


def is_local(source: str) -> bool:
    """Whether a base model comes from files, and not from Hugging Face by its id."""
    return source.endswith(".gguf") or Path(source).exists()


def _commit(source: str, revision: str | None) -> str:
    """At which commit a Hugging Face id was fetched just now: its cache is laid out by commits."""
    with border(f"The commit of base model {source!r} cannot be told", _ANOTHER):
        fetched = hf_hub_download(source, "config.json", revision=revision, local_files_only=True)
    return Path(fetched).parent.name


def _require_pinned(source: str, revision: str | None) -> None:
    if revision is not None and is_local(source):
        raise ModelError(
            f"base.revision is {revision!r}, and base.source {source!r} is a file or folder.",
            remedy="set base.revision to null: it pins a Hugging Face id.",
        )


def load_base(
    folder: Path,
    labels: Sequence[str],
    parameterization: Parameterization,
    device: str = "cpu",
    base_id: str | None = None,
) -> BaseModel:
    """Load a folder that `prepare_base` made and choose what finetuning may move.

    Who has just read the folder gives its `folder_sha256` as `base_id`, so that it is not read
    twice. Raises ModelError where nothing is left to train.
    """
    model, tokenizer = load_folder(folder, labels)
    model.to(device)
    entries = sum(parameter.numel() for parameter in model.parameters())
    live = parameterization.attach(model).trained
    # Widening to the live model's float32 was exact, so this is θ0 as it is stored.
    at_first = start(StoredWeights(folder), {name: tuple(p.shape) for name, p in live.items()})
    return BaseModel(
        folder=folder,
        base_id=base_id or folder_sha256(folder),
        model=model,
        tokenizer=tokenizer,
        labels=tuple(labels),
        parameterization=parameterization,
        trainable={name: at_first[name].clone().to(device) for name in live},
        live=live,
        entries=entries,
    )


def folder_sha256(folder: Path) -> str:
    """SHA-256 over the names and digests of all files below a folder: the id of a base model."""
    digest = hashlib.sha256()
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        name = path.relative_to(folder).as_posix()
        digest.update(f"{name}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def load_folder(
    folder: Path, labels: Sequence[str]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and the tokenizer of a folder that `prepare_base` made, in float32."""
    return _fetch(str(folder), labels, new_head=False)


def _fetch(
    source: str,
    labels: Sequence[str],
    new_head: bool,
    dtype: torch.dtype = torch.float32,
    revision: str | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    place: dict[str, str] = {"pretrained_model_name_or_path": source}
    if revision is not None:
        place["revision"] = revision
    if source.endswith(".gguf"):
        path = Path(source)
        place = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    with border(f"Base model {source!r} does not load", _ANOTHER):
        tokenizer = load_tokenizer(**place)
        if labels:
            own = _names_of_classes(AutoConfig.from_pretrained(**place))
            model, report = AutoModelForSequenceClassification.from_pretrained(
                **place,
                dtype=dtype,
                output_loading_info=True,
                id2label=dict(enumerate(labels)),
                label2id={label: index for index, label in enumerate(labels)},
            )
        else:
            own = ()
            model, report = AutoModelForCausalLM.from_pretrained(
                **place, dtype=dtype, output_loading_info=True
            )
    head = [name for name in report["missing_keys"] if new_head and _may_be_new(name, model)]
    missing = sorted(set(report["missing_keys"]) - set(head))
    if missing:  # transformers would fill them with random numbers
        raise ModelError(
            f"Base model {source!r} lacks {len(missing)} parameters, first {missing[0]!r}.",
            remedy="name a complete model; only causal language models have no `base.labels`.",
        )
    if new_head and not head and own and own != tuple(labels):
        raise ModelError(
            f"The head of base model {source!r} was trained for the classes {list(own)}, in this "
            f"order; base.labels are {list(labels)}.",
            remedy=f"set base.labels to {list(own)} in a new workspace, or name the classes in "
            "`id2label` of the checkpoint's config.json as your rows do.",
        )
    model.config.pad_token_id = tokenizer.pad_token_id
    return _plain(model) if "gguf_file" in place else model, tokenizer


def _names_of_classes(config: PreTrainedConfig) -> tuple[str, ...]:
    """What a checkpoint calls the classes of its head, in order; empty where it does not say."""
    names = tuple(str(config.id2label[index]) for index in sorted(config.id2label))
    return () if all(name == f"LABEL_{index}" for index, name in enumerate(names)) else names


def _may_be_new(name: str, model: PreTrainedModel) -> bool:
    """Whether a parameter is of a classifier's head: a new one is drawn from the seed."""
    return not name.startswith(f"{model.base_model_prefix}.") or ".pooler." in name


def load_tokenizer(pretrained_model_name_or_path: str, **more: Any) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, with a pad token."""
    tokenizer = AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **more)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


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
