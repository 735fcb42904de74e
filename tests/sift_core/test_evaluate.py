"""Scores are the ones a reader can compute by hand."""

import pytest
import torch

from sift_core import BaseModel, Classification, Encoded, Generation, encode_examples, evaluate
from sift_core.errors import DataError
from sift_core.examples import IGNORED

ROWS = [
    Generation((("user", "what is your name ?"),), "my name is blue"),
    Generation((("user", "who ?"),), "i"),
    Generation((("user", "where ?"),), "in the south , not in the north"),
]


@pytest.fixture
def answers(causal: BaseModel) -> Encoded:
    return encode_examples(ROWS, causal.tokenizer, (), 32)


def test_answer_probability_is_the_geometric_mean_over_answer_tokens(
    causal: BaseModel, answers: Encoded
) -> None:
    expected = []
    for row in answers.rows:
        with torch.no_grad():
            logits = causal.model(torch.tensor([row["input_ids"]])).logits[0].double()
        probability, length = 1.0, 0
        for position, label in enumerate(row["labels"]):
            if label != IGNORED:
                probability *= logits[position - 1].softmax(-1)[label].item()
                length += 1
        expected.append(probability ** (1 / length))
    found = evaluate(causal.model, answers)
    assert (found.metric, found.rows) == ("answer_probability", 3)
    assert found.value == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_the_size_of_batches_does_not_matter(causal: BaseModel, answers: Encoded) -> None:
    whole = evaluate(causal.model, answers, batch_size=3).value
    for size in (1, 2):
        assert evaluate(causal.model, answers, size).value == pytest.approx(whole, rel=1e-5)


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
        found = evaluate(classifier.model, encode_examples(rows, tokenizer, labels, 32), 2)
        assert (found.metric, found.rows) == ("accuracy", 5)
        assert found.value == pytest.approx(1 - wrong / 5)


def test_dropout_is_off_and_the_mode_comes_back(classifier: BaseModel, reviews: Encoded) -> None:
    for training in (True, False):
        classifier.model.train(training)
        assert evaluate(classifier.model, reviews) == evaluate(classifier.model, reviews)
        assert classifier.model.training is training


def test_nothing_to_score_is_an_error(classifier: BaseModel) -> None:
    nothing = encode_examples([], classifier.tokenizer, classifier.labels, 32)
    with pytest.raises(DataError, match="no rows to score"):
        evaluate(classifier.model, nothing)
