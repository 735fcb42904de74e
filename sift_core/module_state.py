"""All that a live model holds beside its parameters, kept once and put back before every use.

A forward pass may leave traces: dynamic RoPE keeps the frequencies of the longest text it has seen,
a classification head writes the kind of problem into the configuration, a cache is grown. What came
of one contributor would then depend on who was there before. So buffers, the attributes of every
module and the configuration are put back as they were when the model was loaded; only parameters
are left to whoever loads weights.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedConfig

_OF_TORCH = frozenset(vars(nn.Module())) - {"training", "_non_persistent_buffers_set"}
_NO_STATE = _OF_TORCH | {"_hf_hook"}
"""Attributes that hold modules, parameters and hooks, torch's and accelerate's; buffers come first.

A hook remembers the device of its last inputs and tensors on their way to it, nothing else.
"""

_ENTERED = (PreTrainedConfig, GenerationConfig)
"""Objects whose own attributes are put back; any other object is put back as a whole."""

_SAID = (str, bytes, int, float, complex, type(None), torch.dtype, torch.device)
"""What a `repr` says everything about."""

Recall = Callable[[], Any]
"""Gives a value back as it was when it was kept; what changes in place is the same object."""


class ModuleState:
    """What `put_back` restores: buffers, attributes of modules, configuration."""

    def __init__(self, model: nn.Module) -> None:
        known: dict[int, Recall] = {}
        self._modules = [
            (module, _kept(module._buffers, known), _kept(_attributes(module), known))
            for module in model.modules()
        ]

    @torch.no_grad()
    def put_back(self) -> None:
        """Make everything but parameters as it was when this state was kept."""
        for module, buffers, attributes in self._modules:
            buffers()
            own = vars(module)
            for name in _attributes(module):
                del own[name]
            own.update(attributes())


def _attributes(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in _NO_STATE}


def _kept(value: Any, known: dict[int, Recall]) -> Recall:
    """How to have a value back as it is now; `known` by id, so that what is shared stays shared."""
    if id(value) not in known:
        # For what holds itself: within it, the object as it is.
        known[id(value)] = lambda: value
        known[id(value)] = _keeping(value, known)
    return known[id(value)]


def _keeping(value: Any, known: dict[int, Recall]) -> Recall:
    if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
        saved = value.detach().clone()
        return lambda: _copied(value, saved)
    if type(value) is tuple:
        items = [_kept(item, known) for item in value]
        return lambda: ([item() for item in items], value)[1]
    if isinstance(value, list):
        items = [_kept(item, known) for item in value]
        return lambda: _refilled(value, [item() for item in items])
    if isinstance(value, dict):
        pairs = {key: _kept(item, known) for key, item in value.items()}
        return lambda: _refilled(value, {key: item() for key, item in pairs.items()})
    if isinstance(value, set):
        members = set(value)
        return lambda: _refilled(value, members)
    if isinstance(value, _ENTERED):
        inside = _kept(vars(value), known)
        return lambda: (inside(), value)[1]
    return lambda: value


def _copied(tensor: torch.Tensor, saved: torch.Tensor) -> torch.Tensor:
    if tensor.device.type != "meta":
        tensor.copy_(saved)
    return tensor


def _refilled(container: Any, content: Any) -> Any:
    container.clear()
    getattr(container, "extend" if isinstance(container, list) else "update")(content)
    return container


@torch.no_grad()
def looks(model: nn.Module) -> dict[str, str]:
    """What a model holds, by name: parameters, buffers and everything that attributes lead to.

    Two looks that are equal are the same state, objects of any class included; a look reads all
    weights once.
    """
    found: dict[str, str] = {}
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        for name, parameter in module._parameters.items():
            found[prefix + name] = _look(parameter, set())
        for name, buffer in module._buffers.items():
            found[prefix + name] = _look(buffer, set())
        for name, value in _attributes(module).items():
            found[prefix + name] = _look(value, set())
    return found


def _look(value: Any, seen: set[int]) -> str:
    if isinstance(value, torch.Tensor):
        return f"{value.dtype} {tuple(value.shape)} {_sum_of_bits(value)}"
    if isinstance(value, nn.Module) or callable(value) or id(value) in seen:
        return type(value).__qualname__  # modules are looked at by their own names
    if isinstance(value, _SAID):
        return repr(value)
    seen = seen | {id(value)}
    digest = hashlib.sha256(type(value).__qualname__.encode())
    for part in _parts(value):
        digest.update(_look(part, seen).encode())
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from (key, item)
    elif isinstance(value, set | frozenset):
        yield from sorted(map(repr, value))
    elif isinstance(value, list | tuple):
        yield from value
    else:
        yield from sorted(getattr(value, "__dict__", {}).items())


def _sum_of_bits(tensor: torch.Tensor) -> int:
    """A number that nearly every change of bits changes, at the speed of memory."""
    if tensor.device.type == "meta" or tensor.numel() == 0:
        return 0
    return int(tensor.detach().contiguous().reshape(-1).view(torch.uint8).sum(dtype=torch.int64))
