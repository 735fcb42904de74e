"""Chats are read as the model's own chat template has them, tools included or not at all."""

from pathlib import Path
from typing import Any

import pytest

from sift_core import BaseModel, Chat, FullWeights, Reading, encode_examples, load_base
from sift_core.chat_tokens import prompt_tokens
from sift_core.encoding import IGNORED
from sift_core.errors import UnreadableRowError
from sift_core.examples import said
from tests.support import tiny

TEMPLATE = (
    "{% for turn in messages %}{{ turn.role }} {{ turn.content }} {% endfor %}"
    "{% if add_generation_prompt %}!{% endif %}"
)
TOOLS = (
    "{% for tool in tools or [] %}. {{ tool.function.name }} {% endfor %}"
    "{% for turn in messages %}{% if turn.role == 'assistant' %}! {% endif %}"
    "{% for call in turn.tool_calls or [] %}"
    ", {{ call.function.name }} {{ call.function.arguments.what }} {% endfor %}"
    "{{ turn.content or '' }} {% if turn.role == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}! {% endif %}"
)
"""Tools first, a call after a comma, `!` before what the assistant says."""
CITY: dict[str, Any] = {"type": "function", "function": {"name": "city"}}
ASKED = Chat(
    (
        said("user", "where is the film ?"),
        {
            "role": "assistant",
            "tool_calls": [
                {"type": "function", "function": {"name": "city", "arguments": {"what": "film"}}}
            ],
        },
        said("tool", "north"),
        said("assistant", "in the north"),
    ),
    (CITY,),
)


def tokens(text: str) -> list[int]:
    return [tiny.VOCABULARY[word] for word in text.split()]


def causal_with(folder: Path, template: str | None) -> BaseModel:
    return load_base(tiny.tiny_causal(folder, template), (), FullWeights())


def test_the_models_own_chat_template_is_used_where_it_has_one(tmp_path: Path) -> None:
    base = causal_with(tmp_path, TEMPLATE)
    assert base.tokenizer.chat_template == TEMPLATE
    turns = (said("user", "who ?"), said("i", "blue"), said("user", "why ?"))
    found = prompt_tokens(turns, base.tokenizer)
    assert found[-1] == tiny.VOCABULARY["!"]  # the template's own sign that an answer follows
    assert [token for token in found if token != 1] == tokens("who ? i blue why ? !")  # 1: [UNK]
    chat = Chat((*turns, said("assistant", "because")))
    (row,) = encode_examples([chat], base.tokenizer, (), Reading(32)).sequences
    assert row["labels"][: len(found)] == [IGNORED] * len(found)
    assert row["labels"][-1] == tiny.EOS


def test_without_a_template_the_turns_are_joined(causal: BaseModel) -> None:
    turns = (said("user", "who ?"), said("assistant", "blue"), said("user", "why ?"))
    assert prompt_tokens(turns, causal.tokenizer) == tokens("<s> who ? blue why ?")


def test_calls_of_tools_are_learned_and_what_tools_say_is_read(tmp_path: Path) -> None:
    base = causal_with(tmp_path, TOOLS)
    (row,) = encode_examples([ASKED], base.tokenizer, (), Reading(64)).sequences
    assert row["input_ids"] == tokens(
        ". city where is the film ? ! , city film </s> north ! in the north </s>"
    )
    assert [token for token in row["labels"] if token != IGNORED] == tokens(
        ", city film </s> in the north </s>"
    )


@pytest.mark.parametrize(
    ("template", "left_out"),
    [
        (TOOLS.replace("tools or []", "[]"), "`tools`"),
        (TOOLS.replace("turn.tool_calls or []", "[]"), "`tool_calls`"),
        (TOOLS.replace("turn.content or ''", "'' if turn.role == 'tool' else turn.content or ''"),
         "a `tool` turn"),
        (None, "`tools`"),
    ],
)  # fmt: skip
def test_a_template_that_passes_over_tools_is_refused_and_what_it_leaves_out_named(
    template: str | None, left_out: str, tmp_path: Path
) -> None:
    base = causal_with(tmp_path, template)
    with pytest.raises(UnreadableRowError, match=f"leaves out {left_out}"):
        encode_examples([ASKED], base.tokenizer, (), Reading(64))


def test_a_template_that_cannot_do_without_the_answer_of_a_tool_reads_it(tmp_path: Path) -> None:
    strict = TOOLS + (
        "{% for turn in messages %}{% if turn.role == 'tool' and not turn.content %}"
        "{{ raise_exception('a tool says nothing') }}{% endif %}{% endfor %}"
    )
    base = causal_with(tmp_path, strict)
    assert encode_examples([ASKED], base.tokenizer, (), Reading(64))


def test_a_template_that_writes_a_call_otherwise_than_it_asks_is_refused(tmp_path: Path) -> None:
    other = TOOLS.replace("{% if add_generation_prompt %}! ", "{% if add_generation_prompt %}? ")
    base = causal_with(tmp_path, other)
    with pytest.raises(UnreadableRowError, match="otherwise than it asks for one"):
        encode_examples([ASKED], base.tokenizer, (), Reading(64))
