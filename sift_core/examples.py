"""One contributor's rows, and how they become tokens with a loss on the answer only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.utils.data import Dataset
from transformers import DataCollatorForSeq2Seq, DataCollatorWithPadding, PreTrainedTokenizerBase

from sift_core.clock import stopped
from sift_core.errors import DataError, TooLongError, UnreadableRowError
from sift_core.foreign_errors import border

IGNORED = -100
"""The label of a token without loss, the ecosystem's convention."""


@dataclass(frozen=True)
class Classification:
    """A text and the name of its class."""

    text: str
    label: str


@dataclass(frozen=True)
class Generation:
    """A conversation so far as (role, content) turns, and the answer to learn."""

    turns: tuple[tuple[str, str], ...]
    answer: str


Example = Classification | Generation


class Encoded(Dataset[dict[str, Any]]):
    """Tokenized examples of one contributor, in the order given."""

    def __init__(self, rows: Sequence[dict[str, Any]], collate: Any) -> None:
        self.rows = rows
        self.collate = collate
        """Pads a list of rows to one batch of tensors (batch, longest)."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]


def encode_examples(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    max_length: int,
) -> Encoded:
    """Tokenize examples; `labels` are the class names in order, empty for generation.

    Raises DataError for an unknown label or mixed tasks, TooLongError for an answer that
    `max_length` cuts off, UnreadableRowError for what tokenizer or chat template refuse.
    """
    return collated(
        [encode(example, tokenizer, labels, max_length) for example in examples], tokenizer, labels
    )


def collated(
    rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]
) -> Encoded:
    """Rows that `encode` made, with what pads a batch of them."""
    if labels:
        return Encoded(rows, DataCollatorWithPadding(tokenizer))
    return Encoded(rows, DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=IGNORED))


def encode(
    example: Example,
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    max_length: int,
) -> dict[str, Any]:
    """One example as tokens and labels. Raises the errors of `encode_examples`."""
    made = _encode_text if isinstance(example, Classification) else _encode_answer
    with border(
        "The tokenizer of the base model refuses a row",
        "give this row in the form, with the roles, that the base model's chat template takes, or "
        "leave it out.",
        UnreadableRowError,
    ):
        return made(example, tokenizer, labels, max_length)  # type: ignore[arg-type]


def _encode_text(
    example: Classification,
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    max_length: int,
) -> dict[str, Any]:
    if example.label not in labels:
        raise DataError(
            f"Label {example.label[:40]!r} is not one of {list(labels)}.",
            remedy="correct the label, or list it under base.labels in params.yaml of a new "
            "workspace.",
        )
    encoded = tokenizer(example.text, truncation=True, max_length=max_length)
    _require_tokens("text", encoded["input_ids"])
    return {**encoded, "labels": labels.index(example.label)}


def _encode_answer(
    example: Generation,
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    max_length: int,
) -> dict[str, Any]:
    if labels:
        raise DataError(
            "A question with an answer cannot train a classifier.",
            remedy="give rows with `text` and `label`, or use a causal language model.",
        )
    prompt = prompt_tokens(example.turns, tokenizer)
    _require_tokens("question", prompt)
    answer = tokenizer(example.answer, add_special_tokens=False)["input_ids"]
    answer = [*answer, tokenizer.eos_token_id]
    tokens = prompt + answer
    if len(tokens) > max_length:
        raise TooLongError(
            f"A row has {len(tokens)} tokens, more than the {max_length} that are read.",
            remedy="shorten the row, or raise base.max_length in params.yaml and run `sift build`, "
            "which finetunes everyone again.",
        )
    return {
        "input_ids": tokens,
        "attention_mask": [1] * len(tokens),
        "labels": [IGNORED] * len(prompt) + answer,
    }


def _require_tokens(what: str, tokens: Sequence[int]) -> None:
    if not tokens:
        raise UnreadableRowError(
            f"Of the {what} of a row the tokenizer leaves no token.",
            remedy="give this row some text that the base model can read, or leave it out.",
        )


def prompt_tokens(
    turns: Sequence[tuple[str, str]], tokenizer: PreTrainedTokenizerBase
) -> list[int]:
    """The tokens before the answer: the model's own chat template where it has one.

    A template that prints today's date prints `sift_core.clock.DATE`, so that the tokens are the
    same on every day. Without a template, the turns are joined by line breaks, as TOFU does for
    plain models.
    """
    if tokenizer.chat_template:
        messages = [{"role": role, "content": content} for role, content in turns]
        tokens = tokenizer.apply_chat_template(
            messages,
            chat_template=stopped(tokenizer.get_chat_template()),
            add_generation_prompt=True,
            return_dict=True,
        )
        return cast(list[int], tokens["input_ids"])
    text = "\n".join(content for _, content in turns) + "\n"
    return cast(list[int], tokenizer(text)["input_ids"])


def answer_log_probabilities(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean log-probability per answer token, shape (batch,).

    `logits` is (batch, tokens, vocabulary) float, `labels` is (batch, tokens) int64 with IGNORED
    outside the answer.
    """
    shifted, targets = logits[:, :-1], labels[:, 1:]  # position i predicts token i + 1
    answered = targets != IGNORED
    # Of the answer's positions only: a vocabulary of float64 for every token is most of the memory.
    picked = shifted[answered].double().log_softmax(-1).gather(-1, targets[answered].unsqueeze(-1))
    token_log_probabilities = torch.zeros(targets.shape, dtype=torch.float64, device=logits.device)
    token_log_probabilities[answered] = picked.squeeze(-1)
    return token_log_probabilities.sum(-1) / answered.sum(-1)
