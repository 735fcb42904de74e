"""Whether a base model could ever work here: what can be read off it, before anything is asked.

A model that is short of an end token or of positions fails late, in a traceback about a tensor's
index, and perhaps with the first contributor who writes a long text.
"""

from collections.abc import Iterator

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from sift_core.errors import ModelError

_ONE_CLASS = "single_label_classification"


def require_fit(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> None:
    """Raise ModelError, naming the cause, where texts of `max_length` tokens cannot be learned."""
    _require_tokens(tokenizer, model.can_generate())
    _require_embedding(model, tokenizer)
    _require_one_class(model.config)
    room = positions(model.config)
    if room is not None and max_length > room:
        raise ModelError(
            f"base.max_length is {max_length}, this base model has {room} positions.",
            remedy=f"set base.max_length to {room} or less, or name a model for longer texts.",
        )
    broken = next(_not_finite(model), None)
    if broken is not None:
        raise ModelError(
            f"The base model holds numbers that are NaN or infinite, first in {broken!r}.",
            remedy="fetch it once more, or convert it again: its weights are damaged.",
        )


def positions(config: PreTrainedConfig) -> int | None:
    """How many tokens the positions of a model reach; None where it has no such limit."""
    text = config.get_text_config()
    found = getattr(text, "max_position_embeddings", None)
    if not isinstance(found, int) or found < 1:
        return None
    # Dynamic RoPE stretches to texts so many times longer; other kinds say the stretched length.
    rope = getattr(text, "rope_parameters", None) or {}
    stretched = rope.get("rope_type") == "dynamic"
    return int(found * rope.get("factor", 1)) if stretched else found


def _require_tokens(tokenizer: PreTrainedTokenizerBase, generates: bool) -> None:
    if generates and tokenizer.eos_token_id is None:
        raise ModelError(
            "The tokenizer of the base model has no end token, so no answer would ever end.",
            remedy="set `eos_token` in its tokenizer_config.json to the token that ends a text.",
        )
    if tokenizer.pad_token_id is None:
        raise ModelError(
            "The tokenizer of the base model has neither a pad nor an end token.",
            remedy="set `pad_token` in its tokenizer_config.json to a token of its vocabulary.",
        )


def _require_embedding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= rows:
        raise ModelError(
            f"The tokenizer of the base model gives numbers up to {largest}, its embedding has "
            f"{rows} rows.",
            remedy="name the tokenizer that the model was trained with, or resize its embedding.",
        )


def _require_one_class(config: PreTrainedConfig) -> None:
    kind = getattr(config, "problem_type", None)
    if kind not in (None, _ONE_CLASS):
        raise ModelError(
            f"The head of the base model is for {kind!r}, not for one class of each text.",
            remedy=f"name a model whose config.json has `problem_type` {_ONE_CLASS!r} or none.",
        )


def _not_finite(model: PreTrainedModel) -> Iterator[str]:
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            yield name
