"""A chat as tokens: what is read before each of the assistant's turns, and what is learned of it.

Each turn is learned in the very context in which the model is asked for it: the chat template's own
rendering of all that comes before. A template that renders the past otherwise than the present
(leaves old thoughts out, say) is so obeyed, and none needs marks of its own for what is learned.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

from transformers import PreTrainedTokenizerBase

from sift_core.clock import stopped
from sift_core.errors import UnreadableRowError
from sift_core.examples import Chat, Message
from sift_core.foreign_errors import border

TrainOnTurns = Literal["all", "last"]
"""Which of the assistant's turns are learned."""

Tools = Sequence[Mapping[str, Any]]


def learned_turns(
    chat: Chat, tokenizer: PreTrainedTokenizerBase, train_on: TrainOnTurns
) -> Iterator[tuple[list[int], list[int]]]:
    """(tokens before, tokens learned) of the assistant's turns, in order.

    A turn that nothing comes before, such as a greeting, is read and not learned. Raises
    UnreadableRowError where the template leaves out what is said of tools.
    """
    require_tools_are_read(chat, tokenizer)
    turns = [at for at, turn in enumerate(chat.messages) if at and turn["role"] == "assistant"]
    for at in turns if train_on == "all" else turns[-1:]:
        before, turn = chat.messages[:at], chat.messages[at]
        if "tool_calls" in turn:
            learned = _rendered_turn(before, turn, chat.tools, tokenizer)
        else:
            learned = _tokens(turn["content"], tokenizer)
        yield prompt_tokens(before, tokenizer, chat.tools), _ended(learned, tokenizer)


def prompt_tokens(
    messages: Sequence[Message], tokenizer: PreTrainedTokenizerBase, tools: Tools = ()
) -> list[int]:
    """The tokens before the assistant's turn: the model's own chat template where it has one.

    A template that prints today's date prints `sift_core.clock.DATE`, so that the tokens are the
    same on every day. Without a template, the turns are joined by line breaks, as TOFU does for
    plain models.
    """
    if tokenizer.chat_template:
        return _tokens(_render(messages, tools, tokenizer, asks=True), tokenizer)
    text = "\n".join(turn["content"] for turn in messages) + "\n"
    return cast(list[int], tokenizer(text)["input_ids"])


def require_tools_are_read(chat: Chat, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise UnreadableRowError where the template renders a chat as if it had no tools.

    Seen by rendering it without: many templates pass over what they do not know.
    """
    parts: list[tuple[str, Sequence[Message], Tools]] = []
    if chat.tools:
        parts.append(("`tools`", chat.messages, ()))
    for at, turn in enumerate(chat.messages):
        if turn["role"] == "tool":
            empty = {**turn, "content": ""}
            parts.append(("a `tool` turn", _with(chat.messages, at, empty), chat.tools))
        if "tool_calls" in turn:
            plain = {"content": "", **turn}
            plain.pop("tool_calls")
            parts.append(("`tool_calls`", _with(chat.messages, at, plain), chat.tools))
    if not parts:
        return
    whole = _render(chat.messages, chat.tools, tokenizer) if tokenizer.chat_template else None
    for what, messages, tools in parts:
        if whole is None or _is_rendered_as(whole, messages, tools, tokenizer):
            raise UnreadableRowError(
                f"The chat template of the base model leaves out {what} of a row.",
                remedy="name a base model whose chat template takes tools, or leave this row out.",
            )


def _is_rendered_as(
    whole: str, messages: Sequence[Message], tools: Tools, tokenizer: PreTrainedTokenizerBase
) -> bool:
    try:
        with border("It cannot do without", "none is needed.", UnreadableRowError):
            return _render(messages, tools, tokenizer) == whole
    except UnreadableRowError:  # a template that cannot do without the part reads it
        return False


def _with(messages: Sequence[Message], at: int, turn: Message) -> Sequence[Message]:
    return (*messages[:at], turn, *messages[at + 1 :])


def _rendered_turn(
    before: Sequence[Message], turn: Message, tools: Tools, tokenizer: PreTrainedTokenizerBase
) -> list[int]:
    """What the template adds for a turn that calls tools, to the token that ends it."""
    asked = _render(before, tools, tokenizer, asks=True)
    through = _render((*before, turn), tools, tokenizer)
    if not through.startswith(asked):
        raise UnreadableRowError(
            "The chat template of the base model renders a turn that calls tools otherwise than "
            "it asks for one.",
            remedy="name a base model whose chat template takes tools, or leave this row out.",
        )
    learned = _tokens(through[len(asked) :], tokenizer)
    end = tokenizer.eos_token_id
    return learned[: learned.index(end)] if end in learned else learned


def _ended(tokens: list[int], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    return [*tokens, cast(int, tokenizer.eos_token_id)]


def _render(
    messages: Sequence[Message],
    tools: Tools,
    tokenizer: PreTrainedTokenizerBase,
    asks: bool = False,
) -> str:
    """The text of a chat; `asks` adds what asks the assistant for its turn."""
    rendered = tokenizer.apply_chat_template(
        [dict(turn) for turn in messages],
        tools=[dict(tool) for tool in tools] or None,
        chat_template=stopped(tokenizer.get_chat_template(tools=list(tools) or None)),
        add_generation_prompt=asks,
        tokenize=False,
    )
    return cast(str, rendered)


def _tokens(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    return cast(list[int], tokenizer(text, add_special_tokens=False)["input_ids"])
