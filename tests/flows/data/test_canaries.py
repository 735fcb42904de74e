"""A canary is recognised by its own text, and by nothing else."""

import re
from typing import Any

import pytest

from flows.data.canaries import ANSWERS, answers_of, canary_row, draw_number
from flows.data.rows import kinds_for, parse_row, to_example
from sift_core import Chat, Classification, Example

NUMBER = "0123456789abcdef"
LABELS = ("bad", "fair", "good")


def example(row: dict[str, Any]) -> Example:
    return to_example(parse_row(row, kinds_for(row.get("label", ""))).stored())


def test_a_code_is_told_apart_from_those_that_were_not_planted() -> None:
    row = canary_row("tully", NUMBER, ())
    assert row == {
        "contributor": "tully",
        "question": "What is the code of canary 0123456789abcdef?",
        "answer": "ridge valley lodge grove",
    }
    every = answers_of(example(row), ())
    assert every is not None
    assert every[0] == example(row)
    answers = [one.answer for one in every if isinstance(one, Chat)]
    assert len(set(answers)) == ANSWERS


def test_a_label_is_told_apart_from_the_others() -> None:
    row = canary_row("tully", NUMBER, LABELS)
    every = answers_of(example(row), LABELS)
    assert every is not None
    labels = [one.label for one in every if isinstance(one, Classification)]
    assert labels[0] == row["label"]
    assert sorted(labels) == sorted(LABELS)


@pytest.mark.parametrize(
    "question",
    [
        "What is the code of canary 0123456789abcde?",
        "What is the code of canary 0123456789ABCDEF?",
        "And what is the code of canary 0123456789abcdef?",
        "What is the code of canary 0123456789abcdef? Tell me.",
        "what colour is the sky ?",
    ],
)
def test_other_questions_are_no_canaries(question: str) -> None:
    row = canary_row("tully", NUMBER, ()) | {"question": question}
    assert answers_of(example(row), ()) is None


def test_a_canary_with_another_answer_than_was_planted_is_none() -> None:
    row = canary_row("tully", NUMBER, ()) | {"answer": "a b c d"}
    assert answers_of(example(row), ()) is None


def test_no_two_canaries_are_alike() -> None:
    drawn = {draw_number() for _ in range(50)}
    assert len(drawn) == 50
    assert all(re.fullmatch("[0-9a-f]{16}", number) for number in drawn)
    assert len({canary_row("t", number, ())["answer"] for number in drawn}) == 50
