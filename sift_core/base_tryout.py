"""A new base model asked for everything once, on made-up rows, before any contributor is there.

What cannot be read off a model shows when it is used: a position too many, a layer that this
machine cannot train, a chat template that refuses even a question. And a forward pass that leaves a
trace: finetuning after somebody else would give another vector than finetuning alone, so what
`ModuleState` cannot put back is refused, by name.
"""

from dataclasses import replace

import torch

from sift_core.base import BaseModel
from sift_core.encoding import IGNORED, Encoded, EncodedRecord, Reading, encode_examples
from sift_core.errors import ModelError, NonFiniteError, SiftCoreError
from sift_core.examples import Chat, Classification, Example, Text
from sift_core.finetune_settings import FinetuneSettings
from sift_core.finetuning import finetuned
from sift_core.foreign_errors import border
from sift_core.losses import row_losses
from sift_core.module_state import looks

_ANOTHER = "name another base model."


def try_out(base: BaseModel, reading: Reading, training: FinetuneSettings | None) -> None:
    """Encode, score and train as a workspace does; the live model is θ0 again afterwards.

    `training` None leaves training out, where others do it. Raises ModelError with the cause.
    """
    short = _encoded(base, reading)
    longest = _longest(short, reading.max_length)
    before = looks(base.model)
    alone = _losses(base, short, "a short text")
    _losses(base, longest, f"a text of {reading.max_length} tokens")
    if training is not None:
        _train(base, short, training)
    again = _losses(base, short, "a short text")
    base.load(base.trainable)
    after = looks(base.model)
    traces = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )
    if traces or alone != again:
        where = f"in {traces[0]!r}" if traces else "that does not show"
        raise ModelError(
            f"Using the base model leaves a trace {where} and cannot be put back: what is made of "
            "one contributor would depend on who was there before.",
            remedy="name a model of another architecture, or the same without this part.",
        )


def _encoded(base: BaseModel, reading: Reading) -> Encoded:
    """Made-up rows of the workspace's kind, as short as they are."""
    examples: list[Example] = [Chat.of("What is this?", "It is red."), Text("It is red.")]
    if base.labels:
        examples = [Classification("It was good.", label) for label in base.labels[:1]]
    try:
        return encode_examples(examples, base.tokenizer, base.labels, reading)
    except SiftCoreError as error:
        raise ModelError(
            f"The base model cannot read a made-up row: {error.facts.rstrip('.')}.",
            remedy="mend its chat template (`chat_template.jinja`), raise base.max_length, or "
            "name another base model.",
        ) from error


def _longest(short: Encoded, max_length: int) -> Encoded:
    """The first row with its first token repeated until it has `max_length` tokens."""
    first = short.records[0]
    tokens = dict(first.sequences[0])
    fill = max_length - len(tokens["input_ids"])
    for name, value in tokens.items():
        if isinstance(value, list):
            beginning = IGNORED if name == "labels" else value[0]
            tokens[name] = [beginning] * max(0, fill) + value
    return short.of([EncodedRecord(first.kind, [tokens], is_long=False)])


def _losses(base: BaseModel, rows: Encoded, what: str) -> list[float]:
    with (
        border(
            f"The base model cannot be scored on {what}", f"lower base.max_length, or {_ANOTHER}"
        ),
        base.serving(base.trainable) as model,
    ):
        losses: list[float] = row_losses(model, rows, base.scored_at_once).tolist()
    if not torch.isfinite(torch.tensor(losses)).all():
        raise ModelError(
            f"The base model gives a loss of {losses[0]} for {what}.",
            remedy=f"its weights are damaged, or too coarse in base.dtype; {_ANOTHER}",
        )
    return losses


def _train(base: BaseModel, rows: Encoded, training: FinetuneSettings) -> None:
    with border("The base model cannot be trained", _ANOTHER):
        try:
            with finetuned(base, rows, replace(training, steps=1, processes=1), None):
                pass
        except NonFiniteError as error:
            raise ModelError(
                f"The base model cannot be trained on a made-up row: {error.facts}",
                remedy=f"lower finetune.learning_rate, or {_ANOTHER}",
            ) from error
