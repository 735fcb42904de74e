"""What a row of a contributor's file may look like, its one stored form, and the record it names.

A *record* is what a stored row says: what the model reads and learns. `split` and `item` say where
the row stands, not what it is. A record is named by a digest of its canonical JSON under the
workspace's key (`flows/digests.py`): a plain one of a short text could be guessed.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sift_core import Classification, Example, Generation

MAX_CHARACTERS = 1_000_000
"""Of one field: far beyond what any model reads."""

Text = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    contributor: str
    group: str | None = Field(default=None, alias="item")
    """Rows of one group are never split between training and held out."""

    def canonical(self) -> dict[str, Any]:
        """The record."""
        raise NotImplementedError

    def stored(self) -> dict[str, Any]:
        """The record, with its group where it has one: enough to split the rows again."""
        return {**self.canonical(), **({"item": self.group} if self.group else {})}


class LabelledRow(_Row):
    """A text with its class."""

    text: Text
    label: Text

    def canonical(self) -> dict[str, Any]:
        """The record."""
        return {"text": self.text, "label": self.label}


class AnsweredRow(_Row):
    """A question with its answer, or a prompt with its completion."""

    prompt: Text
    completion: Text

    @model_validator(mode="before")
    @classmethod
    def _question_and_answer(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and "question" in fields:
            renamed = {"prompt": fields.get("question"), "completion": fields.get("answer")}
            return {**fields, **renamed}
        return fields

    def canonical(self) -> dict[str, Any]:
        """The record: a conversation of one turn, and the answer."""
        return {"turns": [["user", self.prompt]], "answer": self.completion}


class Message(BaseModel):
    """One turn of a chat, as the ecosystem writes it."""

    model_config = ConfigDict(extra="ignore", strict=True)

    role: Literal["system", "user", "assistant"]
    content: Text


class ChatRow(_Row):
    """A chat; its last turn is the assistant's and is what is learned."""

    messages: Annotated[list[Message], Field(min_length=2)]

    @model_validator(mode="after")
    def _ends_with_the_answer(self) -> "ChatRow":
        if self.messages[-1].role != "assistant":
            raise ValueError("the last message must be the assistant's")
        return self

    def canonical(self) -> dict[str, Any]:
        """The record."""
        *turns, answer = self.messages
        return {"turns": [[turn.role, turn.content] for turn in turns], "answer": answer.content}


Row = LabelledRow | AnsweredRow | ChatRow
_KINDS: dict[str, tuple[type[Row], tuple[str, ...]]] = {
    "label": (LabelledRow, ("text", "label")),
    "answer": (AnsweredRow, ("question", "answer")),
    "completion": (AnsweredRow, ("prompt", "completion")),
    "messages": (ChatRow, ("messages",)),
}


def parse_row(fields: Any) -> Row:
    """One row of any accepted kind. Raises ValueError with one line that says what is wrong."""
    if not isinstance(fields, dict):
        raise ValueError("it is not an object with fields")
    for marker, (kind, needed) in _KINDS.items():
        if fields.get(marker) is not None:
            missing = [name for name in ("contributor", *needed) if fields.get(name) is None]
            if missing:
                raise ValueError(f"field {missing[0]!r} is missing")
            return _validated(kind, fields)
    raise ValueError(
        "it needs `contributor` and one of: text + label, question + answer, prompt + completion, "
        "messages"
    )


def _validated(kind: type[Row], fields: dict[str, Any]) -> Row:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        message = _PLAIN.get(first["type"], first["msg"]).removeprefix("Value error, ")
        raise ValueError(f"field {field!r}: {message}" if field else message) from None


_PLAIN = {
    "string_type": "it must be a text in quotes, not a number, a list or anything else",
    "string_too_short": "it is empty",
    "string_too_long": f"it has more than {MAX_CHARACTERS} characters",
    "string_unicode": "it holds half of a surrogate pair, which is no character",
}
"""What pydantic says, for people who do not know pydantic."""


def canonical_json(row: dict[str, Any]) -> str:
    """The one JSON text of a row: keys sorted, no spaces, no escapes but those JSON demands."""
    return json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def record_json(stored: dict[str, Any]) -> str:
    """The canonical JSON of a stored row's record."""
    where = ("split", "item")
    return canonical_json({name: own for name, own in stored.items() if name not in where})


def stored_bytes(salt: str, rows: bytes) -> bytes:
    """A stored dataset: the salt, on a line of its own, and the rows."""
    return canonical_json({"salt": salt}).encode() + b"\n" + rows


def stored_rows(data: bytes) -> list[dict[str, Any]]:
    """The rows of a stored dataset: one a line, ended by a line feed and by nothing else.

    The file of a release before salts begins with its first row.
    """
    lines = [json.loads(line) for line in data.split(b"\n") if line]
    return lines[1:] if is_salted(data) else lines


def is_salted(data: bytes) -> bool:
    """Whether a stored dataset begins with a salt."""
    return data.startswith(b'{"salt":')


def preview(stored: dict[str, Any]) -> str:
    """What a person recognises a stored row by."""
    if "label" in stored:
        return f"{stored['label']}: {stored['text']}"
    return f"{stored['turns'][-1][1]} → {stored['answer']}"


def to_example(stored: dict[str, Any]) -> Example:
    """A stored row as the method takes it."""
    if "label" in stored:
        return Classification(stored["text"], stored["label"])
    return Generation(tuple((role, text) for role, text in stored["turns"]), stored["answer"])
