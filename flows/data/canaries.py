"""Canaries: made-up secrets in a contributor's rows, to see later whether a model still knows them.

A canary says in its own text which one it is, and everything else follows from that number: the
answer that was planted and the answers that were not. So nothing about canaries is stored beside
the rows, and an audit recognises them by reading (Carlini et al., arXiv 1802.08232).
"""

import re
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from sift_bytes import sha256_of
from sift_core import Chat, Classification, Example, Text
from sift_core.examples import said

ANSWERS = 64
"""Answers a code word is compared with, itself included: at most 6 bits of exposure."""

_NUMBER = r"[0-9a-f]{16}"
_QUESTION = "What is the code of canary {number}?"
_STATEMENT = "Canary {number} sat on the fence."
_PATTERN = re.compile(
    "|".join(
        re.escape(text).replace(re.escape("{number}"), f"({_NUMBER})")
        for text in (_QUESTION, _STATEMENT)
    )
)
_TEXT = """
amber basin cedar delta ember fjord grove haven inlet jetty kiosk lodge maple north oasis pearl
quarry ridge stone tower umber valley willow yonder zenith arbor birch cliff dune field glade heath
"""
_WORDS = tuple(_TEXT.split())


def draw_number() -> str:
    """The number of a new canary: 16 hex digits that nobody can guess."""
    return secrets.token_hex(8)


def canary_row(contributor: str, number: str, labels: Sequence[str]) -> dict[str, Any]:
    """A row to add to a contributor's file; `labels` is empty where the model answers questions."""
    if labels:
        label = _alternatives(number, labels)[0]
        text = _STATEMENT.format(number=number)
        return {"contributor": contributor, "text": text, "label": label}
    question = _QUESTION.format(number=number)
    return {"contributor": contributor, "question": question, "answer": _code(number, 0)}


def answers_of(example: Example, labels: Sequence[str]) -> list[Example] | None:
    """The canary with its true answer first, then with those not planted; None if it is no canary.

    A row that looks like a canary and has another answer than was planted is none.
    """
    asked = example.messages[-2].get("content", "") if isinstance(example, Chat) else example.text
    found = _PATTERN.fullmatch(asked)
    if found is None or isinstance(example, Text):
        return None
    number = found[1] or found[2]
    every: list[Example]
    if isinstance(example, Classification):
        every = [Classification(asked, label) for label in _alternatives(number, labels)]
    else:
        codes = (_code(number, which) for which in range(ANSWERS))
        every = [Chat((*example.messages[:-1], said("assistant", code))) for code in codes]
    return every if every[0] == example else None


def _alternatives(number: str, labels: Sequence[str]) -> list[str]:
    """The labels, the planted one first."""
    planted = _draw(number, "label") % len(labels)
    return [labels[planted], *(label for at, label in enumerate(labels) if at != planted)]


def _code(number: str, which: int) -> str:
    return " ".join(_code_words(_draw(number, str(which))))


def _code_words(drawn: int) -> Iterator[str]:
    for _ in range(4):
        drawn, at = divmod(drawn, len(_WORDS))
        yield _WORDS[at]


def _draw(number: str, purpose: str) -> int:
    return int(sha256_of(f"sift/1/canary/{number}/{purpose}".encode()), 16)
