"""One contributor's records become sequences of tokens, with a loss on what is learned of each.

A record is one sequence, or several: a chat has one for each of the assistant's turns that does not
fit into that of a later one, and what is longer than a model reads is cut into windows. Whoever
finetunes sees sequences; whoever scores, audits or removes sees records.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, cast

import torch
from torch.utils.data import Dataset
from transformers import DataCollatorForSeq2Seq, DataCollatorWithPadding, PreTrainedTokenizerBase

from sift_core.chat_tokens import TrainOnTurns, learned_turns
from sift_core.errors import DataError, TooLongError, UnreadableRowError
from sift_core.examples import Chat, Classification, Example, Text
from sift_core.foreign_errors import border

IGNORED = -100
"""The label of a token without loss, the ecosystem's convention."""

TooLong = Literal["window", "cut", "refuse"]
"""What becomes of a record with more tokens than are read."""

Kind = Literal["class", "text", "chat"]
"""What is asked of a record: its class, each of its tokens, or what the assistant says."""

Tokens = dict[str, Any]
"""One sequence: `input_ids`, `attention_mask` and what else the model takes, `labels`."""


@dataclass(frozen=True)
class Reading:
    """How records are read: the same wherever a model learns from them or is asked about them."""

    max_length: int
    """Tokens of a sequence."""
    too_long: TooLong = "window"
    """A longer one is cut into windows that are all read, loses what does not fit, or is refused.

    A text keeps its beginning where it is cut, a chat its end."""
    train_on_turns: TrainOnTurns = "all"
    """Which of the assistant's turns in a chat are learned."""


@dataclass(frozen=True)
class EncodedRecord:
    """One record as tokens."""

    kind: Kind
    sequences: list[Tokens]
    is_long: bool
    """Whether it had more tokens than are read at once."""


class Encoded(Dataset[dict[str, Any]]):
    """The sequences of one contributor's records, in the order given."""

    def __init__(self, records: Sequence[EncodedRecord], collate: Any) -> None:
        self.records = records
        self.collate = collate
        """Pads a list of sequences to one batch of tensors (batch, longest)."""
        self.sequences = list(chain.from_iterable(record.sequences for record in records))

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.sequences[index]

    @property
    def record_of(self) -> list[int]:
        """Which record each sequence is of."""
        return [at for at, record in enumerate(self.records) for _ in record.sequences]

    @property
    def long_records(self) -> int:
        """How many records have more tokens than are read at once."""
        return sum(record.is_long for record in self.records)

    def of(self, records: Sequence[EncodedRecord]) -> "Encoded":
        """Others of the same model."""
        return Encoded(records, self.collate)


def encode_examples(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    reading: Reading,
) -> Encoded:
    """Tokenize examples; `labels` are the class names in order, empty for a causal model.

    Raises DataError for an unknown label or mixed tasks, TooLongError for what `reading` refuses,
    UnreadableRowError for what tokenizer or chat template refuse.
    """
    return collated(
        [encode(example, tokenizer, labels, reading) for example in examples], tokenizer, labels
    )


def collated(
    records: Sequence[EncodedRecord], tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]
) -> Encoded:
    """Records that `encode` made, with what pads a batch of their sequences."""
    if labels:
        return Encoded(records, DataCollatorWithPadding(tokenizer))
    return Encoded(records, DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=IGNORED))


def encode(
    example: Example,
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    reading: Reading,
) -> EncodedRecord:
    """One record as tokens and labels. Raises the errors of `encode_examples`."""
    with border(
        "The tokenizer of the base model refuses a row",
        "give this row in the form, with the roles, that the base model's chat template takes, or "
        "leave it out.",
        UnreadableRowError,
    ):
        if isinstance(example, Classification):
            return _classified(example, tokenizer, labels, reading)
        if labels:
            raise DataError(
                "A row without `label` cannot train a classifier.",
                remedy="give rows with `text` and `label`, or use a causal language model.",
            )
        if isinstance(example, Text):
            return _text(example, tokenizer, reading)
        return _chat(example, tokenizer, reading)


def windows(tokens: int, reading: Reading, from_the_end: bool) -> list[slice]:
    """Which tokens of a sequence each window reads, in order.

    Neighbours share one token: the last of a window is what predicts the first that the next one
    learns, so that each token but the first is learned once. Raises TooLongError.
    """
    size = reading.max_length
    if tokens <= size:
        return [slice(0, tokens)]
    require_short(tokens, reading)
    if reading.too_long == "cut":
        return [slice(tokens - size, tokens) if from_the_end else slice(0, size)]
    if not from_the_end:
        return [slice(start, min(start + size, tokens)) for start in range(0, tokens - 1, size - 1)]
    ends = range(tokens, 1, 1 - size)
    return [slice(max(0, end - size), end) for end in ends][::-1]


def require_short(tokens: int, reading: Reading) -> None:
    """Raise TooLongError for so many tokens where `reading` refuses what is too long."""
    if tokens > reading.max_length and reading.too_long == "refuse":
        raise TooLongError(
            f"A row has {tokens} tokens, more than the {reading.max_length} that are read.",
            remedy="shorten the row, set data.too_long in params.yaml to window or cut, or raise "
            "base.max_length; then `sift build`, which finetunes everyone again.",
        )


def token_answers(
    logits: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of the learned tokens of each sequence: summed log-probability, how many, how many are hits.

    `logits` is (batch, tokens, vocabulary) float, `labels` is (batch, tokens) int64 with IGNORED
    where nothing is learned; all that is returned is (batch,). A hit is a token that the model
    holds for the most probable.
    """
    shifted, targets = logits[:, :-1], labels[:, 1:]  # position i predicts token i + 1
    learned = targets != IGNORED
    # Of what is learned only: a vocabulary of float64 for every token is most of the memory.
    wanted, given = targets[learned], shifted[learned]
    picked = given.double().log_softmax(-1).gather(-1, wanted.unsqueeze(-1)).squeeze(-1)
    log_probabilities = torch.zeros(targets.shape, dtype=torch.float64, device=logits.device)
    log_probabilities[learned] = picked
    hits = torch.zeros(targets.shape, dtype=torch.int64, device=logits.device)
    hits[learned] = (given.argmax(-1) == wanted).long()
    return log_probabilities.sum(-1), learned.sum(-1), hits.sum(-1)


def _classified(
    example: Classification,
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    reading: Reading,
) -> EncodedRecord:
    if example.label not in labels:
        raise DataError(
            f"Label {example.label[:40]!r} is not one of {list(labels)}.",
            remedy="correct the label, or list it under base.labels in params.yaml of a new "
            "workspace.",
        )
    sequences, is_long = text_sequences(example.text, tokenizer, reading)
    number = labels.index(example.label)
    return EncodedRecord("class", [{**own, "labels": number} for own in sequences], is_long)


def text_sequences(
    text: str, tokenizer: PreTrainedTokenizerBase, reading: Reading
) -> tuple[list[Tokens], bool]:
    """A text as a classifier reads it, and whether it is longer than a sequence.

    Each window has the tokens that the tokenizer puts around a text. Raises TooLongError,
    UnreadableRowError.
    """
    whole = tokenizer(text, verbose=False)  # which warns of what is looked at here
    tokens = len(whole["input_ids"])
    _require_tokens("text", whole["input_ids"])
    if tokens <= reading.max_length:
        return [dict(whole)], False
    require_short(tokens, reading)
    if reading.too_long == "cut":
        return [dict(tokenizer(text, truncation=True, max_length=reading.max_length))], True
    if not tokenizer.is_fast:
        raise UnreadableRowError(
            f"A row has {tokens} tokens, and the tokenizer of the base model cuts no windows.",
            remedy="set data.too_long to cut in params.yaml.",
        )
    found = tokenizer(
        text, truncation=True, max_length=reading.max_length, return_overflowing_tokens=True
    )
    found.pop("overflow_to_sample_mapping")
    return [dict(zip(found, own, strict=True)) for own in zip(*found.values(), strict=True)], True


def _text(example: Text, tokenizer: PreTrainedTokenizerBase, reading: Reading) -> EncodedRecord:
    """Every token is learned, the one that ends the text too."""
    tokens = [*text_tokens(example.text, tokenizer), cast(int, tokenizer.eos_token_id)]
    parts = [tokens[part] for part in windows(len(tokens), reading, from_the_end=False)]
    return EncodedRecord(
        "text",
        [_sequence(part, [IGNORED, *part[1:]]) for part in parts],
        len(tokens) > reading.max_length,
    )


def text_tokens(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """A text as a causal model reads it: before its first token stands the one that begins a text.

    Where a tokenizer has none, the one that ends it does. Raises UnreadableRowError.
    """
    own = cast(list[int], tokenizer(text, add_special_tokens=False)["input_ids"])
    _require_tokens("text", own)
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return [cast(int, first), *own]


def _chat(example: Chat, tokenizer: PreTrainedTokenizerBase, reading: Reading) -> EncodedRecord:
    sequences, is_long = [], False
    for tokens, labels in _joined(example, tokenizer, reading):
        is_long |= len(tokens) > reading.max_length
        parts = windows(len(tokens), reading, from_the_end=True)
        sequences += [
            _sequence(tokens[part], [IGNORED, *labels[part][1:]])
            for part in parts
            if any(label != IGNORED for label in labels[part][1:])
        ]
    return EncodedRecord("chat", sequences, is_long)


def _joined(
    example: Chat, tokenizer: PreTrainedTokenizerBase, reading: Reading
) -> Iterator[tuple[list[int], list[int]]]:
    """(tokens, labels) of the assistant's turns.

    A turn whose tokens another one that fits begins with is learned there: the same probabilities
    for less work.
    """
    tokens: list[int] = []
    labels: list[int] = []
    for prompt, learned in learned_turns(example, tokenizer, reading.train_on_turns):
        _require_tokens("question", prompt)
        longer = [*prompt, *learned]
        begins = longer[: len(tokens)] == tokens and len(longer) <= reading.max_length
        if tokens and not begins:
            yield tokens, labels
            tokens, labels = [], []
        labels = [*labels, *[IGNORED] * (len(prompt) - len(labels)), *learned]
        tokens = longer
    yield tokens, labels


def _sequence(tokens: list[int], labels: list[int]) -> Tokens:
    return {"input_ids": tokens, "attention_mask": [1] * len(tokens), "labels": labels}


def _require_tokens(what: str, tokens: Sequence[int]) -> None:
    if not tokens:
        raise UnreadableRowError(
            f"Of the {what} of a row the tokenizer leaves no token.",
            remedy="give this row some text that the base model can read, or leave it out.",
        )
