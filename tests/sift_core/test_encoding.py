"""Records become sequences of tokens, with a loss on what is learned of each."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sift_core import (
    BaseModel,
    Chat,
    Classification,
    Encoded,
    FullWeights,
    Reading,
    Text,
    encode_examples,
    load_base,
)
from sift_core.encoding import IGNORED, TooLong, token_answers, windows
from sift_core.errors import DataError, TooLongError
from sift_core.examples import said
from tests.support import tiny

MARKED = (
    "{% for turn in messages %}{{ turn.role }} {{ turn.content }}"
    "{% if turn.role == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)
"""A template under which a chat begins with the same chat without its last turns."""
FORGETFUL = (
    "{% for turn in messages[-1:] %}{{ turn.role }} {{ turn.content }} {% endfor %}"
    "{% if add_generation_prompt %}!{% endif %}"
)
"""One that leaves the past out, as templates of models that think do with old thoughts."""
TOKENIZER = tiny.causal_tokenizer()
QUESTION = Chat.of("what is your name ?", "my name is blue")
LONG = Chat(
    (
        said("user", "who ?"),
        said("assistant", "i"),
        said("user", "why ?"),
        said("assistant", "red"),
        said("user", "where ?"),
        said("assistant", "in the city"),
    )
)


def tokens(text: str) -> list[int]:
    return [tiny.VOCABULARY[word] for word in text.split()]


def learned(examples: Encoded) -> list[list[int]]:
    """The learned tokens of each sequence."""
    return [[label for label in row["labels"] if label != IGNORED] for row in examples.sequences]


def test_only_the_answer_and_its_end_carry_a_loss(causal: BaseModel) -> None:
    (row,) = encode_examples([QUESTION], causal.tokenizer, (), Reading(32)).sequences
    prompt, answer = tokens("<s> what is your name ?"), tokens("my name is blue </s>")
    assert row["input_ids"] == prompt + answer
    assert row["labels"] == [IGNORED] * len(prompt) + answer
    assert row["attention_mask"] == [1] * len(row["input_ids"])


def test_padding_of_a_batch_carries_no_loss_and_no_attention(causal: BaseModel) -> None:
    short = Chat.of("who ?", "i")
    examples = encode_examples([QUESTION, short], causal.tokenizer, (), Reading(32))
    batch = examples.collate([examples[0], examples[1]])
    real = batch["attention_mask"].bool()
    assert real.sum(1).tolist() == [11, 5]
    assert (batch["labels"][~real] == IGNORED).all()
    alone = examples.collate([examples[1]])
    assert torch.equal(batch["labels"][1][real[1]], alone["labels"][0])


# ---- chats ---------------------------------------------------------------------------------------


def test_every_assistant_turn_is_learned_in_one_sequence_where_the_chat_grows(
    tmp_path: Path,
) -> None:
    base = load_base(tiny.tiny_causal(tmp_path, MARKED), (), FullWeights())
    every = encode_examples([LONG], base.tokenizer, (), Reading(64))
    assert learned(every) == [tokens("i </s> red </s> in the city </s>")]
    last = encode_examples([LONG], base.tokenizer, (), Reading(64, train_on_turns="last"))
    assert learned(last) == [tokens("in the city </s>")]
    assert every[0]["input_ids"] == last[0]["input_ids"]


def test_each_turn_is_learned_in_the_context_in_which_the_model_is_asked_for_it(
    tmp_path: Path,
) -> None:
    base = load_base(tiny.tiny_causal(tmp_path, FORGETFUL), (), FullWeights())
    found = encode_examples([LONG], base.tokenizer, (), Reading(64))
    assert learned(found) == [tokens("i </s>"), tokens("red </s>"), tokens("in the city </s>")]
    assert found.record_of == [0, 0, 0]
    for row, asked in zip(found.sequences, ("who ?", "why ?", "where ?"), strict=True):
        words = [token for token in row["input_ids"] if token != 1]  # 1: [UNK], the roles
        assert words[: len(tokens(asked)) + 1] == tokens(f"{asked} !")


def test_a_turn_that_does_not_fit_keeps_what_comes_right_before_it(causal: BaseModel) -> None:
    tokenizer, whole = causal.tokenizer, tokens("<s> who ? i why ? red where ? in the city </s>")
    first = encode_examples([LONG], tokenizer, (), Reading(64)).sequences
    assert [row["input_ids"] for row in first][-1] == whole
    found = encode_examples([LONG], tokenizer, (), Reading(8, "cut"))
    assert found.long_records == 1
    assert found[len(found) - 1]["input_ids"] == whole[-8:]
    assert [word for words in learned(found) for word in words] == tokens(
        "i </s> red </s> in the city </s>"
    )


def test_a_greeting_before_anybody_asked_is_read_and_not_learned(causal: BaseModel) -> None:
    chat = Chat((said("assistant", "good day"), *QUESTION.messages))
    (found,) = encode_examples([chat], causal.tokenizer, (), Reading(32)).sequences
    assert found["input_ids"][:4] == tokens("<s> good day what")
    assert [token for token in found["labels"] if token != IGNORED] == tokens(
        "my name is blue </s>"
    )


# ---- texts ---------------------------------------------------------------------------------------


def test_every_token_of_a_text_is_learned_and_its_end(causal: BaseModel) -> None:
    (row,) = encode_examples([Text("who lives in the city")], causal.tokenizer, (), Reading(32))
    assert row["input_ids"] == tokens("<s> who lives in the city </s>")
    assert row["labels"] == [IGNORED, *tokens("who lives in the city </s>")]


@given(st.integers(1, 60), st.integers(4, 20))
def test_windows_of_a_text_stay_one_record_and_learn_each_token_once(
    words: int, longest: int
) -> None:
    text = [tiny.WORDS[n % len(tiny.WORDS)] for n in range(words)]
    examples = encode_examples([Text(" ".join(text))], TOKENIZER, (), Reading(longest))
    assert [word for own in learned(examples) for word in own] == tokens(f"{' '.join(text)} </s>")
    assert all(len(row["input_ids"]) <= longest for row in examples.sequences)
    assert set(examples.record_of) == {0} and len(examples.records) == 1
    assert examples.long_records == (words + 2 > longest)


@given(st.integers(2, 500), st.integers(4, 40), st.booleans())
def test_windows_cover_every_token_but_the_first_once(
    count: int, longest: int, from_the_end: bool
) -> None:
    found = windows(count, Reading(longest), from_the_end)
    learned_at = [at for part in found for at in range(part.start + 1, part.stop)]
    assert learned_at == list(range(1, count))
    assert all(part.stop - part.start <= longest for part in found)
    if from_the_end:
        assert found[-1] == slice(max(0, count - longest), count)
    (cut,) = windows(count, Reading(longest, "cut"), from_the_end)
    assert cut == (found[-1] if from_the_end else found[0])


# ---- what is too long ----------------------------------------------------------------------------


def test_a_text_to_classify_is_cut_or_read_in_windows_of_its_own(classifier: BaseModel) -> None:
    text = "good " * 10
    long = Classification(text, "good")

    def encoded(too_long: TooLong) -> Encoded:
        return encode_examples([long], classifier.tokenizer, tiny.LABELS, Reading(8, too_long))

    (cut,) = encoded("cut").sequences
    assert cut["input_ids"] == tokens("[CLS] good good good good good good [SEP]")
    found = encoded("window")
    assert [row["input_ids"] for row in found.sequences] == [
        tokens("[CLS] good good good good good good [SEP]"),
        tokens("[CLS] good good good good [SEP]"),
    ]
    assert [row["labels"] for row in found.sequences] == [1, 1]
    assert found.record_of == [0, 0]
    assert found.collate(found.sequences)["input_ids"].shape == (2, 8)


@pytest.mark.parametrize("example", [QUESTION, Text("my name is blue"), "classification"])
def test_what_is_too_long_is_refused_where_that_is_said(
    example: Chat | Text | str, causal: BaseModel, classifier: BaseModel
) -> None:
    base, given_example = (
        (classifier, Classification("good " * 6, "good"))
        if isinstance(example, str)
        else (causal, example)
    )
    fits = len(
        encode_examples([given_example], base.tokenizer, base.labels, Reading(32))[0]["input_ids"]
    )
    assert encode_examples([given_example], base.tokenizer, base.labels, Reading(fits, "refuse"))
    with pytest.raises(
        TooLongError, match=rf"{fits} tokens, more than the {fits - 1}.*data\.too_long"
    ):
        encode_examples([given_example], base.tokenizer, base.labels, Reading(fits - 1, "refuse"))


# ---- what is refused -----------------------------------------------------------------------------


def test_a_label_is_numbered(reviews: Encoded) -> None:
    assert [row["labels"] for row in reviews.sequences] == [1, 0, 1]
    assert reviews[1]["input_ids"] == tokens("[CLS] awful [SEP]")


def test_an_unknown_label_is_refused_and_shown_in_part(classifier: BaseModel) -> None:
    bad = Classification("good", "x" * 500)
    with pytest.raises(DataError, match=r"Label 'x{40}' is not one of \['bad', 'good'\]"):
        encode_examples([bad], classifier.tokenizer, tiny.LABELS, Reading(32))


def test_rows_of_the_other_task_are_refused(classifier: BaseModel, causal: BaseModel) -> None:
    for other in (QUESTION, Text("good")):
        with pytest.raises(DataError, match="cannot train a classifier"):
            encode_examples([other], classifier.tokenizer, tiny.LABELS, Reading(32))
    with pytest.raises(DataError):
        encode_examples([Classification("good", "good")], causal.tokenizer, (), Reading(32))


def test_token_answers_by_hand() -> None:
    # Vocabulary of two; position i holds the log-odds of token i + 1.
    probability = torch.tensor([[[0.5, 0.5], [0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]])
    labels = torch.tensor([[IGNORED, IGNORED, 0, 1]])
    log_probability, count, hits = token_answers(probability.log(), labels)
    assert log_probability.exp().item() == pytest.approx(0.9 * 0.8)
    assert (count.item(), hits.item()) == (2, 2)
    labels = torch.tensor([[0, IGNORED, IGNORED, 0]])  # nothing predicts the first token
    log_probability, count, hits = token_answers(probability.log(), labels)
    assert log_probability.exp().item() == pytest.approx(0.2)
    assert (count.item(), hits.item()) == (1, 0)
