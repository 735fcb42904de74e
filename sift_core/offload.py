"""A base model whose weights stay on disk: each module has its own while it computes, then lets go.

For scoring a model that is larger than memory. It does not train: what trains has gradients and an
optimizer's moments beside the weights. Accelerate's hooks do the work; they take any mapping.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from accelerate.hooks import attach_align_device_hook
from torch import nn
from transformers import PreTrainedModel

from sift_core.base import BaseModel, require_classes
from sift_core.base_folder import folder_sha256
from sift_core.checkpoint import load_tokenizer, outline
from sift_core.errors import ModelError
from sift_core.lora import plain_name
from sift_core.parameterization import Attached, Parameterization, start
from sift_core.weights_folder import StoredWeights, fresh


@dataclass
class StreamedBase(BaseModel):
    """A base model as `load_base` gives it, for scoring only. Raises ModelError where it trains."""

    source: "_Source" = field(kw_only=True)
    """What the modules ask for their tensors."""

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """There are none to train: the weights are on disk."""
        raise ModelError(
            "The weights of the base model stay on disk, so it cannot be trained.",
            remedy="set base.streamed to false where memory holds the model and its gradients, or "
            "removal_audit.relearning_steps to 0.",
        )

    def load(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Let modules ask these weights for their tensors, θ0 for others; all else is put back."""
        self.state.put_back()
        self.source.weights = weights


def stream_base(
    folder: Path,
    labels: Sequence[str],
    parameterization: Parameterization,
    device: str = "cpu",
    base_id: str | None = None,
) -> StreamedBase:
    """Open a folder that `prepare_base` made, for scoring in the memory of a few tensors.

    Computes in float32 as the model of `load_base` does. Arguments and errors are those of
    `load_base`.
    """
    stored = StoredWeights(folder)
    model, tokenizer = outline(folder, generates=not labels), load_tokenizer(folder)
    require_classes(model.config, labels)
    model.config.pad_token_id = tokenizer.pad_token_id
    names_in_files = _names_in_files(model, stored)
    entries = sum(parameter.numel() for parameter in model.parameters())
    attached = parameterization.attach(model)
    trainable = start(stored, {name: tuple(live.shape) for name, live in attached.trained.items()})
    source = _Source(model, stored, names_in_files, trainable, attached)
    _fill_buffers(model, stored)
    attach_align_device_hook(
        model, execution_device=torch.device(device), offload=True, weights_map=source
    )
    return StreamedBase(
        folder=folder,
        base_id=base_id or folder_sha256(folder),
        model=model.eval(),
        tokenizer=tokenizer,
        labels=tuple(labels),
        parameterization=parameterization,
        trainable=trainable,
        live=attached.trained,
        entries=entries,
        source=source,
    )


def _fill_buffers(model: PreTrainedModel, stored: StoredWeights) -> None:
    for name, buffer in model.named_buffers():
        if name in stored:
            buffer.copy_(stored[name])


class _Source(Mapping[str, torch.Tensor]):
    """What modules ask for their tensors: `weights` first, then θ0, then what is frozen."""

    def __init__(
        self,
        model: PreTrainedModel,
        stored: StoredWeights,
        names_in_files: Mapping[str, str],
        trainable: Mapping[str, torch.Tensor],
        attached: Attached,
    ) -> None:
        self.weights: Mapping[str, torch.Tensor] = {}
        self._trainable = trainable
        trained = {id(live): name for name, live in attached.trained.items()}
        self._finds: dict[str, Callable[[], torch.Tensor]] = {}
        for name, live in model.named_parameters(remove_duplicate=False):
            if id(live) in trained:
                self._finds[name] = partial(self._current, trained[id(live)])
            elif name in attached.added:
                self._finds[name] = partial(attached.added.__getitem__, name)
            else:
                kept = names_in_files[plain_name(name)]
                self._finds[name] = partial(stored.__getitem__, kept)

    def _current(self, name: str) -> torch.Tensor:
        return (self.weights if name in self.weights else self._trainable)[name]

    def __getitem__(self, name: str) -> torch.Tensor:
        found = self._finds[name]()
        if found.dtype == torch.float32:
            return found
        return fresh(found.shape, torch.float32).copy_(found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._finds)

    def __len__(self) -> int:
        return len(self._finds)


def _names_in_files(model: PreTrainedModel, stored: StoredWeights) -> dict[str, str]:
    """Every parameter's name → the one its tensor is stored under: tied ones are stored once."""
    first: dict[int, str] = {}
    every = list(model.named_parameters(remove_duplicate=False))
    for name, parameter in every:
        if name in stored:
            first.setdefault(id(parameter), name)
    missing = sorted(name for name, parameter in every if id(parameter) not in first)
    if missing:
        raise ModelError(
            f"{stored.folder} lacks {len(missing)} parameters, first {missing[0]!r}.",
            remedy="restore it with `dvc checkout base`.",
        )
    return {name: first[id(parameter)] for name, parameter in every}
