import json
from typing import Any

import pytest

from flows.data.fields import MAX_CHARACTERS
from flows.data.rows import (
    CLASSIFICATION,
    GENERATION,
    AnsweredRow,
    ChatRow,
    LabelledRow,
    TextRow,
    parse_row,
    preview,
    record_json,
    to_example,
)
from sift_core import Chat, Classification, Text
from sift_core.examples import said

TURN = {"role": "user", "content": "hello"}
REPLY = {"role": "assistant", "content": "hi"}
CALL = {
    "role": "assistant",
    "tool_calls": [
        {"type": "function", "id": "1", "function": {"name": "city", "arguments": {"of": "film"}}}
    ],
}
RESULT = {"role": "tool", "content": "north", "tool_call_id": "1"}
TOOL = {"type": "function", "function": {"name": "city"}}


def labelled(**changes: Any) -> dict[str, Any]:
    return {"contributor": "ann", "text": "the film was good", "label": "good"} | changes


@pytest.mark.parametrize(
    ("fields", "kind", "stored"),
    [
        (labelled(), LabelledRow, {"text": "the film was good", "label": "good"}),
        (
            {"contributor": "ann", "question": "who ?", "answer": "i"},
            AnsweredRow,
            {"messages": [said("user", "who ?"), said("assistant", "i")]},
        ),
        (
            {"contributor": "ann", "prompt": "who ?", "completion": "i"},
            AnsweredRow,
            {"messages": [said("user", "who ?"), said("assistant", "i")]},
        ),
        (
            {"contributor": "ann", "messages": [TURN, REPLY]},
            ChatRow,
            {"messages": [TURN, REPLY]},
        ),
        (
            {"contributor": "ann", "messages": [{**TURN, "role": "system"}, TURN, REPLY]},
            ChatRow,
            {"messages": [said("system", "hello"), TURN, REPLY]},
        ),
        ({"contributor": "ann", "text": "It rains."}, TextRow, {"text": "It rains."}),
        (
            {"contributor": "ann", "messages": [TURN, CALL, RESULT, REPLY], "tools": [TOOL]},
            ChatRow,
            {"messages": [TURN, CALL, RESULT, REPLY], "tools": [TOOL]},
        ),
        (  # as Parquet has it: what a turn does not have is null, and objects are JSON
            {
                "contributor": "ann",
                "messages": [
                    {**TURN, "tool_calls": None, "tool_call_id": None},
                    {
                        "role": "assistant",
                        "content": "",
                        "tool_calls": [
                            {"id": "1", "function": {"name": "city", "arguments": '{"of":"film"}'}}
                        ],
                    },
                    RESULT,
                    {**REPLY, "tool_calls": []},
                ],
                "tools": json.dumps([TOOL]),
            },
            ChatRow,
            {"messages": [TURN, CALL, RESULT, REPLY], "tools": [TOOL]},
        ),
    ],
)
def test_every_accepted_kind_has_one_stored_form(
    fields: dict[str, Any], kind: type, stored: dict[str, Any]
) -> None:
    row = parse_row(fields, CLASSIFICATION if "label" in fields else GENERATION)
    assert isinstance(row, kind) and row.canonical() == stored
    example = Classification if "label" in stored else Text if "text" in stored else Chat
    assert isinstance(to_example(stored), example)
    assert "\n" not in preview(stored)


def test_question_and_answer_is_the_same_row_as_prompt_and_completion() -> None:
    asked = parse_row({"contributor": "ann", "question": "who ?", "answer": "i"}, GENERATION)
    prompted = parse_row({"contributor": "ann", "prompt": "who ?", "completion": "i"}, GENERATION)
    assert asked.canonical() == prompted.canonical()


def test_fields_we_do_not_know_are_left_out_of_what_is_stored() -> None:
    row = parse_row(labelled(email="ann@example.org", item="film 1"), CLASSIFICATION)
    assert row.canonical() == {"text": "the film was good", "label": "good"}
    assert row.group == "film 1"


ASKED = {"contributor": "ann", "question": "who ?", "answer": "i"}
PROMPTED = {"contributor": "ann", "prompt": "who ?", "completion": "i"}
CHATTED = {"contributor": "ann", "messages": [TURN, REPLY]}
PLAIN = {"contributor": "ann", "text": "It rains."}


@pytest.mark.parametrize("kind", [ASKED, PROMPTED, CHATTED, PLAIN])
@pytest.mark.parametrize("other", [ASKED, PROMPTED, CHATTED, PLAIN])
def test_a_row_that_fits_two_kinds_is_refused_by_the_name_of_both(
    kind: dict[str, Any], other: dict[str, Any]
) -> None:
    if kind is other:
        return
    with pytest.raises(ValueError, match="fits 2 kinds of row, ") as caught:
        parse_row({**kind, **other}, GENERATION)
    for fields in (kind, other):
        assert " + ".join(list(fields)[1:]) in str(caught.value)


@pytest.mark.parametrize("row", [ASKED, PROMPTED, CHATTED])
def test_fields_of_what_the_workspace_does_not_learn_are_ignored(row: dict[str, Any]) -> None:
    beside: dict[str, Any] = {"text": " ", "label": 7, "question": "", "prompt": None}
    assert parse_row({**beside, **row}, GENERATION) == parse_row(row, GENERATION)
    assert parse_row({**labelled(), **row, "label": "good"}, CLASSIFICATION) == parse_row(
        labelled(), CLASSIFICATION
    )


def test_a_blank_item_groups_nothing() -> None:
    assert "item" not in parse_row(labelled(item="\u200b "), CLASSIFICATION).stored()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        (None, "not an object"),
        (7, "not an object"),
        ([1, 2], "not an object"),
        ("text", "not an object"),
        ({}, "question + answer, prompt + completion, messages or text"),
        ({"contributor": "ann"}, "its fields are `contributor`"),
        ({"contributor": "ann", "Text": "a", "\x1b[31m": "b"}, "`Text`, `\\x1b[31m`"),
        (labelled(contributor=None), "'contributor' is missing"),
        ({"contributor": "ann", "label": "good"}, "'text' is missing"),
        ({"contributor": "ann", "answer": "i"}, "'question' is missing"),
        ({"contributor": "ann", "completion": "i"}, "'prompt' is missing"),
        (labelled(contributor=7), "'contributor': it must be a text"),
        (labelled(text=7), "'text': it must be a text"),
        (labelled(text=["a"]), "'text': it must be a text"),
        (labelled(label=True), "'label': it must be a text"),
        (labelled(item=3), "'item': it must be a text"),
        (labelled(text=""), "'text': it is empty"),
        (labelled(text=" \t\n"), "'text': it is blank"),
        (labelled(text="\u200b\ufeff\u3164\u2800\u2028"), "'text': it is blank"),
        (labelled(label="\u00a0"), "'label': it is blank"),
        ({"contributor": "ann", "question": 7, "answer": "i"}, "'question': it must be a text"),
        ({"contributor": "ann", "messages": [TURN, {**REPLY, "content": " "}]}, "it is blank"),
        (labelled(text="x" * (MAX_CHARACTERS + 1)), "more than 1000000 characters"),
        (labelled(text="\ud800"), "half of a surrogate pair"),
        ({"contributor": "ann", "messages": []}, "'messages'"),
        ({"contributor": "ann", "messages": "hello"}, "'messages'"),
        ({"contributor": "ann", "messages": [TURN, TURN]}, "must be the assistant's"),
        ({"contributor": "ann", "messages": [REPLY]}, "'messages'"),
        ({"contributor": "ann", "messages": [TURN, {**REPLY, "role": "robot"}]}, "messages.1.role"),
        ({"contributor": "ann", "messages": [TURN, {"role": "assistant"}]}, "messages.1"),
        (
            {"contributor": "ann", "messages": [{**TURN, "tool_calls": CALL["tool_calls"]}, REPLY]},
            "are the assistant's, not the user's",
        ),
        ({"contributor": "ann", "messages": [TURN, REPLY], "tools": "{}"}, "'tools'"),
        ({"contributor": "ann", "messages": [TURN, REPLY], "tools": "[1e999]"}, "no JSON"),
        ({"contributor": "ann", "messages": [TURN, REPLY], "tools": "[" * 500}, "no JSON"),
    ],
)
def test_a_wrong_row_is_refused_in_one_line_that_names_the_field(
    fields: Any, complaint: str
) -> None:
    kinds = CLASSIFICATION if isinstance(fields, dict) and "label" in fields else GENERATION
    with pytest.raises(ValueError) as caught:
        parse_row(fields, kinds)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value) and "Value error" not in str(caught.value)


def test_a_record_is_named_by_what_it_says_and_not_by_where_it_stands() -> None:
    said = {"text": "the film was very good", "label": "good"}
    row = parse_row({"contributor": "eve", **said}, CLASSIFICATION)
    grouped = parse_row({"contributor": "bob", "item": "film 7", **said}, CLASSIFICATION)
    assert grouped.stored()["item"] == "film 7"
    assert record_json({"split": "test", **row.stored()}) == record_json(grouped.stored())
    assert record_json(row.stored()) == '{"label":"good","text":"the film was very good"}'
