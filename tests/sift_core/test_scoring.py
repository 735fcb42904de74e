"""Scores are the ones a reader can compute by hand."""

import math

import pytest
import torch

from sift_core import (
    BaseModel,
    Chat,
    Classification,
    Encoded,
    Reading,
    Text,
    encode_examples,
    evaluate,
)
from sift_core.encoding import IGNORED
from sift_core.errors import DataError
from sift_core.losses import row_losses

ROWS = [
    Chat.of("what is your name ?", "my name is blue"),
    Chat.of("who ?", "i"),
    Chat.of("where ?", "in the south , not in the north"),
]


@pytest.fixture
def answers(causal: BaseModel) -> Encoded:
    return encode_examples(ROWS, causal.tokenizer, (), Reading(32))


def test_answer_probability_is_the_geometric_mean_over_answer_tokens(
    causal: BaseModel, answers: Encoded
) -> None:
    expected = []
    for row in answers.sequences:
        with torch.no_grad():
            logits = causal.model(torch.tensor([row["input_ids"]])).logits[0].double()
        probability, length = 1.0, 0
        for position, label in enumerate(row["labels"]):
            if label != IGNORED:
                probability *= logits[position - 1].softmax(-1)[label].item()
                length += 1
        expected.append(probability ** (1 / length))
    (found,) = evaluate(causal.model, answers)
    assert (found.metric, found.rows) == ("answer_probability", 3)
    assert found.value == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_the_size_of_batches_does_not_matter(causal: BaseModel, answers: Encoded) -> None:
    whole = evaluate(causal.model, answers, batch_size=3)[0].value
    for size in (1, 2):
        assert evaluate(causal.model, answers, size)[0].value == pytest.approx(whole, rel=1e-5)


def test_accuracy_counts_right_labels(classifier: BaseModel) -> None:
    texts = ["good film", "bad film", "the film was great", "awful", "i loved it"]
    tokenizer, labels = classifier.tokenizer, classifier.labels
    with torch.no_grad():
        said = [
            labels[classifier.model(**tokenizer(text, return_tensors="pt")).logits.argmax()]
            for text in texts
        ]
    for wrong in range(len(texts) + 1):
        rows = [
            Classification(text, label if number >= wrong else "good" if label == "bad" else "bad")
            for number, (text, label) in enumerate(zip(texts, said, strict=True))
        ]
        (found,) = evaluate(
            classifier.model, encode_examples(rows, tokenizer, labels, Reading(32)), 2
        )
        assert (found.metric, found.rows) == ("accuracy", 5)
        assert found.value == pytest.approx(1 - wrong / 5)


def test_a_text_is_scored_by_the_tokens_of_all_texts_together(causal: BaseModel) -> None:
    texts = [Text("who lives in the city"), Text("the film"), Text("red , red , red and blue .")]
    examples = encode_examples(texts, causal.tokenizer, (), Reading(32))
    loss, hits, count = 0.0, 0, 0
    for row in examples.sequences:
        with torch.no_grad():
            logits = causal.model(torch.tensor([row["input_ids"]])).logits[0].double()
        for position, token in enumerate(row["input_ids"][1:]):
            loss -= logits[position].log_softmax(-1)[token].item()
            hits += int(logits[position].argmax() == token)
            count += 1
    accuracy, perplexity = evaluate(causal.model, examples)
    assert (accuracy.metric, accuracy.rows) == ("next_token_accuracy", 3)
    assert accuracy.value == pytest.approx(hits / count)
    assert (perplexity.metric, perplexity.rows) == ("perplexity", 3)
    assert perplexity.value == pytest.approx(math.exp(loss / count), rel=1e-5)


def test_texts_and_chats_are_scored_apart(causal: BaseModel) -> None:
    text = Text("who lives in the city")
    both, chats, texts = (
        evaluate(causal.model, encode_examples(rows, causal.tokenizer, (), Reading(32)))
        for rows in ([ROWS[0], text, *ROWS[1:]], ROWS, [text])
    )
    assert [score.metric for score in both] == [s.metric for s in (*chats, *texts)]
    for found, alone in zip(both, (*chats, *texts), strict=True):
        assert (found.value, found.rows) == (pytest.approx(alone.value, rel=1e-5), alone.rows)


def test_a_record_counts_once_however_many_windows_it_has(causal: BaseModel) -> None:
    """Its tokens are scored, each once, and the record beside it weighs as much."""
    reading, alone = Reading(6), []
    long = Chat.of("who ?", "in the south , not in the north , not in the city")
    for row in (long, ROWS[1]):
        encoded = encode_examples([row], causal.tokenizer, (), reading)
        alone.append(evaluate(causal.model, encoded)[0].value)
    both = encode_examples([long, ROWS[1]], causal.tokenizer, (), reading)
    assert len(both.sequences) > len(both.records) == 2
    (found,) = evaluate(causal.model, both)
    assert (found.value, found.rows) == (pytest.approx(sum(alone) / 2, rel=1e-5), 2)


def test_a_text_of_several_windows_is_classified_by_the_mean_of_their_logits(
    classifier: BaseModel,
) -> None:
    rows = [Classification("awful " * 9 + "great film " * 9, "good"), Classification("nice", "bad")]
    examples = encode_examples(rows, classifier.tokenizer, classifier.labels, Reading(8))
    assert examples.record_of == [0, 0, 0, 0, 0, 1]
    with torch.no_grad():
        logits = [
            classifier.model(torch.tensor([row["input_ids"]])).logits[0].double()
            for row in examples.sequences
        ]
    means = [torch.stack(logits[:5]).mean(0), logits[5]]
    losses = [
        -mean.log_softmax(-1)[label].item() for mean, label in zip(means, (1, 0), strict=True)
    ]
    assert row_losses(classifier.model, examples, 2).tolist() == pytest.approx(losses, rel=1e-5)
    (found,) = evaluate(classifier.model, examples)
    assert found.rows == 2
    assert (
        found.value
        == sum(int(mean.argmax() == label) for mean, label in zip(means, (1, 0), strict=True)) / 2
    )


def test_dropout_is_off_and_the_mode_comes_back(classifier: BaseModel, reviews: Encoded) -> None:
    for training in (True, False):
        classifier.model.train(training)
        assert evaluate(classifier.model, reviews) == evaluate(classifier.model, reviews)
        assert classifier.model.training is training


def test_nothing_to_score_is_an_error(classifier: BaseModel) -> None:
    nothing = encode_examples([], classifier.tokenizer, classifier.labels, Reading(32))
    with pytest.raises(DataError, match="no rows to score"):
        evaluate(classifier.model, nothing)
