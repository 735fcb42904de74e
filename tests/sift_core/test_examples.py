"""Rows become tokens with a loss on the answer only."""

from pathlib import Path

import pytest
import torch

from sift_core import (
    BaseModel,
    Classification,
    Encoded,
    FullWeights,
    Generation,
    encode_examples,
    load_base,
)
from sift_core.errors import DataError
from sift_core.examples import IGNORED, answer_log_probabilities, prompt_tokens
from tests.support import tiny

TEMPLATE = (
    "{% for turn in messages %}{{ turn.role }} {{ turn.content }} {% endfor %}"
    "{% if add_generation_prompt %}!{% endif %}"
)
QUESTION = Generation((("user", "what is your name ?"),), "my name is blue")


def tokens(text: str) -> list[int]:
    return [tiny.VOCABULARY[word] for word in text.split()]


def test_only_the_answer_and_its_end_carry_a_loss(causal: BaseModel) -> None:
    (row,) = encode_examples([QUESTION], causal.tokenizer, (), 32).rows
    prompt, answer = tokens("<s> what is your name ?"), tokens("my name is blue </s>")
    assert row["input_ids"] == prompt + answer
    assert row["labels"] == [IGNORED] * len(prompt) + answer
    assert row["attention_mask"] == [1] * len(row["input_ids"])


def test_padding_of_a_batch_carries_no_loss_and_no_attention(causal: BaseModel) -> None:
    short = Generation((("user", "who ?"),), "i")
    examples = encode_examples([QUESTION, short], causal.tokenizer, (), 32)
    batch = examples.collate([examples[0], examples[1]])
    real = batch["attention_mask"].bool()
    assert real.sum(1).tolist() == [11, 5]
    assert (batch["labels"][~real] == IGNORED).all()
    alone = examples.collate([examples[1]])
    assert torch.equal(batch["labels"][1][real[1]], alone["labels"][0])


def test_the_models_own_chat_template_is_used_where_it_has_one(tmp_path: Path) -> None:
    base = load_base(tiny.tiny_causal(tmp_path, TEMPLATE), (), FullWeights())
    assert base.tokenizer.chat_template == TEMPLATE
    turns = (("user", "who ?"), ("i", "blue"), ("user", "why ?"))
    found = prompt_tokens(turns, base.tokenizer)
    assert found[-1] == tiny.VOCABULARY["!"]  # the template's own sign that an answer follows
    assert [token for token in found if token != 1] == tokens("who ? i blue why ? !")  # 1: [UNK]
    (row,) = encode_examples([Generation(turns, "because")], base.tokenizer, (), 32).rows
    assert row["labels"][: len(found)] == [IGNORED] * len(found)
    assert row["labels"][-1] == tiny.EOS


def test_without_a_template_the_turns_are_joined(causal: BaseModel) -> None:
    turns = (("user", "who ?"), ("assistant", "blue"), ("user", "why ?"))
    assert prompt_tokens(turns, causal.tokenizer) == tokens("<s> who ? blue why ?")


def test_a_text_is_cut_and_its_label_numbered(classifier: BaseModel, reviews: Encoded) -> None:
    assert [row["labels"] for row in reviews.rows] == [1, 0, 1]
    assert reviews[1]["input_ids"] == tokens("[CLS] awful [SEP]")
    long = Classification("good " * 100, "good")
    (row,) = encode_examples([long], classifier.tokenizer, tiny.LABELS, 8).rows
    assert len(row["input_ids"]) == 8


def test_an_answer_is_never_cut(causal: BaseModel) -> None:
    assert encode_examples([QUESTION], causal.tokenizer, (), 11)
    with pytest.raises(DataError, match=r"11 tokens, more than the 10.*base\.max_length"):
        encode_examples([QUESTION], causal.tokenizer, (), 10)


def test_an_unknown_label_is_refused_and_shown_in_part(classifier: BaseModel) -> None:
    bad = Classification("good", "x" * 500)
    with pytest.raises(DataError, match=r"Label 'x{40}' is not one of \['bad', 'good'\]"):
        encode_examples([bad], classifier.tokenizer, tiny.LABELS, 32)


def test_rows_of_the_other_task_are_refused(classifier: BaseModel, causal: BaseModel) -> None:
    with pytest.raises(DataError, match="cannot train a classifier"):
        encode_examples([QUESTION], classifier.tokenizer, tiny.LABELS, 32)
    with pytest.raises(DataError):
        encode_examples([Classification("good", "good")], causal.tokenizer, (), 32)


def test_answer_log_probabilities_by_hand() -> None:
    # Vocabulary of two; position i holds the log-odds of token i + 1.
    probability = torch.tensor([[[0.5, 0.5], [0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]])
    labels = torch.tensor([[IGNORED, IGNORED, 0, 1]])
    found = answer_log_probabilities(probability.log(), labels)
    assert found.exp().item() == pytest.approx((0.9 * 0.8) ** 0.5)
    labels = torch.tensor([[0, IGNORED, IGNORED, 0]])  # nothing predicts the first token
    assert answer_log_probabilities(probability.log(), labels).exp().item() == pytest.approx(0.2)
