"""The base model θ0: any Hugging Face causal LM or sequence classifier, by id or path."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)

from sift_core.base_folder import folder_sha256
from sift_core.base_requirements import require_fit
from sift_core.base_source import ANOTHER, fetch
from sift_core.checkpoint import classes_of, load_model, load_tokenizer
from sift_core.encoding import Reading, encode_examples
from sift_core.errors import ModelError
from sift_core.examples import Example
from sift_core.foreign_errors import border
from sift_core.module_state import ModuleState
from sift_core.parameterization import Parameterization, start
from sift_core.trainer import train
from sift_core.weights_folder import StoredWeights

Dtype = Literal["float32", "bfloat16"]
"""What θ0 is stored in, and served in."""


@dataclass(frozen=True)
class WarmStart:
    """Public data that trains a fresh classifier head once, before any contributor.

    It belongs to the base model and is never subject to an opt-out; lineage records its origin.
    What is too long of it is cut.
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
    fetched = fetch(source, labels, torch.float32 if trains else chosen, revision)
    model, tokenizer = fetched.model, fetched.tokenizer
    with border(f"Base model {source!r} cannot be read", ANOTHER):
        require_fit(model, tokenizer, max_length)
    if warm_start is not None:
        reading = Reading(max_length, "cut")
        encoded = encode_examples(warm_start.examples, tokenizer, labels, reading)
        steps = warm_start.epochs * -(-len(encoded) // warm_start.batch_size)
        optimizer = torch.optim.AdamW(model.parameters(), lr=warm_start.learning_rate)
        train(model, encoded, optimizer, steps, warm_start.batch_size, seed)
    model = model.to(chosen)
    size = {} if shard_size is None else {"max_shard_size": shard_size}
    with border(f"Base model {source!r} cannot be saved", ANOTHER):
        model.save_pretrained(folder, **size)
        tokenizer.save_pretrained(folder)
    return fetched.commit


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
    model = load_model(folder, generates=not labels, dtype=torch.float32)
    tokenizer = load_tokenizer(folder)
    require_classes(model.config, labels)
    model.config.pad_token_id = tokenizer.pad_token_id
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


def require_classes(config: PreTrainedConfig, labels: Sequence[str]) -> None:
    """Raise ModelError unless the classes of a classifier are these, in their order."""
    found = classes_of(config)
    if labels and found != tuple(labels):
        raise ModelError(
            f"The base model has the classes {list(found)}, and not {list(labels)}.",
            remedy="set base.labels back to these, or make a new workspace.",
        )
