"""What a model answers about each record: what scores and attacks are made of."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader
from transformers import PreTrainedModel

from sift_core.encoding import Encoded, Kind, token_answers


@dataclass(frozen=True)
class Answer:
    """What a model says of one record: of its class, or of all of its learned tokens."""

    kind: Kind
    log_probability: float
    """ln P of the class or of the tokens, in nats."""
    tokens: int
    """How many that is of; 1 for a class."""
    hits: int
    """How many of them the model holds for the most probable."""

    @property
    def loss(self) -> float:
        """−ln P per token, in nats."""
        return -self.log_probability / self.tokens


@torch.no_grad()
def answers(model: PreTrainedModel, examples: Encoded, batch_size: int) -> list[Answer]:
    """What the model says of each record, in order.

    Of a record of several sequences: the class by the mean of their logits, the tokens of all.
    """
    batches = list(_answered(model, examples, batch_size))
    if not batches:
        return []
    of = torch.tensor(examples.record_of)
    found = [torch.cat(parts) for parts in zip(*batches, strict=True)]
    if examples.records[0].kind == "class":
        classes = torch.tensor([record.sequences[0]["labels"] for record in examples.records])
        return _of_classes(class_logits(of, *found), classes)
    sums, counts, hits = (_by_record(of, own).tolist() for own in found)
    return [
        Answer(record.kind, *own)
        for record, *own in zip(examples.records, sums, counts, hits, strict=True)
    ]


def _answered(
    model: PreTrainedModel, examples: Encoded, batch_size: int
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Of every batch, without dropout: the logits of classes, or what `token_answers` says."""
    was_training = model.training
    model.eval()
    for batch in DataLoader(examples, batch_size=batch_size, collate_fn=examples.collate):
        if model.device.type != "meta":  # else the weights are on disk, and its modules move inputs
            batch = batch.to(model.device)
        labels = batch.pop("labels")
        logits = model(**batch).logits
        found: tuple[torch.Tensor, ...] = (logits,)
        if labels.ndim > 1:
            found = token_answers(logits, labels.to(logits.device))
        yield tuple(part.cpu() for part in found)
    model.train(was_training)


def _of_classes(logits: torch.Tensor, classes: torch.Tensor) -> list[Answer]:
    """`logits` (records, classes), `classes` (records,): one answer for each record."""
    chosen = logits.log_softmax(-1).gather(-1, classes.unsqueeze(-1)).squeeze(-1)
    hits = (logits.argmax(-1) == classes).long()
    return [
        Answer("class", value, 1, hit)
        for value, hit in zip(chosen.tolist(), hits.tolist(), strict=True)
    ]


def class_logits(of: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """The mean over the sequences of each record: (sequences, classes) -> (records, classes).

    `of` is (sequences,) int64, the record of each; all have one or more. The result is in float64.
    """
    return _by_record(of, logits.double()) / _by_record(of, torch.ones_like(of)).unsqueeze(-1)


def _by_record(of: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Sums over the sequences of each record: (sequences, …) -> (records, …)."""
    records = int(of.max()) + 1
    return torch.zeros((records, *values.shape[1:]), dtype=values.dtype).index_add_(0, of, values)
