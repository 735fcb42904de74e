"""What a row of a contributor's file may look like, its one stored form, and the record it names.

Which fields are read is settled by what the workspace learns: a `Kind` of row is the names of its
fields, and of all other fields nothing matters. A *record* is what a stored row says: what the
model reads and learns. `split` and `item` say where the row stands, not what it is. A record is
named by a digest of its canonical JSON under the workspace's key (`flows/hashing.py`): a plain one
of a short text could be guessed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

import sift_core
from flows.data.fields import MAX_CHARACTERS, Item, Text
from flows.data.messages import Message, Tools
from flows.workspace.characters import is_blank, plain
from sift_bytes import canonical_json
from sift_core import Chat, Classification, Example
from sift_core.examples import said


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    contributor: str
    group: Item | None = Field(default=None, alias="item")
    """Rows of one group are never split between training and held out; a blank one is none."""

    def canonical(self) -> dict[str, Any]:
        """The record."""
        raise NotImplementedError

    def stored(self) -> dict[str, Any]:
        """The record, with its group where it has one: enough to split the rows again."""
        grouped = self.group is not None and not is_blank(self.group)
        return {**self.canonical(), **({"item": self.group} if grouped else {})}


class LabelledRow(_Row):
    """A text with its class."""

    text: Text
    label: Text

    def canonical(self) -> dict[str, Any]:
        """The record."""
        return {"text": self.text, "label": self.label}


class TextRow(_Row):
    """A text that is learned as it stands."""

    text: Text

    def canonical(self) -> dict[str, Any]:
        """The record."""
        return {"text": self.text}


class AnsweredRow(_Row):
    """A question with its answer, or a prompt with its completion."""

    prompt: Text
    completion: Text

    def canonical(self) -> dict[str, Any]:
        """The record: a chat of two turns."""
        return {"messages": [said("user", self.prompt), said("assistant", self.completion)]}


class ChatRow(_Row):
    """A chat; what the assistant says in it is learned, and its last turn is the assistant's."""

    messages: Annotated[list[Message], Field(min_length=2)]
    tools: Tools | None = None

    @model_validator(mode="after")
    def _ends_with_the_answer(self) -> "ChatRow":
        if self.messages[-1].role != "assistant":
            raise ValueError("the last message must be the assistant's")
        return self

    def canonical(self) -> dict[str, Any]:
        """The record."""
        turns = [turn.model_dump(exclude_none=True) for turn in self.messages]
        return {"messages": turns, **({"tools": self.tools} if self.tools else {})}


class PublicRow(LabelledRow):
    """A text with its class that a base model is warmed up on: nobody's, so it never leaves."""

    contributor: str = ""


Row = LabelledRow | TextRow | AnsweredRow | ChatRow


@dataclass(frozen=True)
class Kind:
    """One kind of row: the fields that it is made of, by the names of the model's own."""

    row: type[Row]
    names: Mapping[str, str]
    """{field of the file: field of `row`}."""
    optional: tuple[str, ...] = ()
    """Fields that may be there beside them."""
    owned: bool = True
    """Whether it says whose it is: public data is nobody's."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the file that say something."""
        return (*self.names, *self.optional)

    @property
    def needed(self) -> tuple[str, ...]:
        """The fields that must be there."""
        return (*(("contributor",) if self.owned else ()), *self.names)

    def __str__(self) -> str:
        return " + ".join(self.names)


CLASSIFICATION = (Kind(LabelledRow, {"text": "text", "label": "label"}),)
GENERATION = (
    Kind(AnsweredRow, {"question": "prompt", "answer": "completion"}),
    Kind(AnsweredRow, {"prompt": "prompt", "completion": "completion"}),
    Kind(ChatRow, {"messages": "messages"}, optional=("tools",)),
    Kind(TextRow, {"text": "text"}),
)
PUBLIC = (Kind(PublicRow, {"text": "text", "label": "label"}, owned=False),)
COMMON = ("contributor", "item")
"""Fields of every kind; `item` may be missing."""


def kinds_for(labels: Collection[str]) -> Sequence[Kind]:
    """The kinds of row that a workspace with these labels reads."""
    return CLASSIFICATION if labels else GENERATION


def fields_of(kinds: Sequence[Kind]) -> tuple[str, ...]:
    """Every field that is read of a row; all others are ignored, whatever they hold."""
    return (*COMMON, *(field for kind in kinds for field in kind.fields))


def wanted(kinds: Sequence[Kind]) -> str:
    """What a row needs, in words."""
    *others, last = map(str, kinds)
    words = f"{', '.join(others)} or {last}" if others else last
    return f"`contributor` and {words}" if kinds[0].owned else words


def named(fields: Collection[object]) -> str:
    """Names of fields as they were found, short and printable whatever they are."""
    shown = [f"`{plain(str(name))[:40]}`" for name in list(fields)[:12]]
    return ", ".join(shown) + (f" and {len(fields) - 12} more" if len(fields) > 12 else "")


def parse_row(fields: Any, kinds: Sequence[Kind]) -> Row:
    """One row of one of these kinds. Raises ValueError with one line that says what is wrong.

    A row that fits two kinds is refused: one of them would be dropped without a word.
    """
    if not isinstance(fields, dict):
        raise ValueError("it is not an object with fields")
    whole = [kind for kind in kinds if all(_is_given(fields, name) for name in kind.names)]
    if len(whole) > 1:
        raise ValueError(
            f"it fits {len(whole)} kinds of row, {' and '.join(map(str, whole))}: leave the fields "
            "of all but one out"
        )
    kind = whole[0] if whole else _meant(fields, kinds)
    missing = [name for name in kind.needed if fields.get(name) is None]
    if missing:
        raise ValueError(f"field {missing[0]!r} is missing; its fields are {named(fields)}")
    return _validated(kind, fields)


def _is_given(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name)
    return value is not None and not (isinstance(value, str) and is_blank(value))


def _meant(fields: dict[str, Any], kinds: Sequence[Kind]) -> Kind:
    """The kind that an incomplete row has most of. Raises ValueError where it has none of any."""

    def there(kind: Kind) -> int:
        return sum(fields.get(name) is not None for name in kind.names)

    kind = max(kinds, key=there)
    if not there(kind):
        found = f"its fields are {named(fields)}" if fields else "it has no fields"
        raise ValueError(f"it needs {wanted(kinds)}; {found}")
    return kind


def _validated(kind: Kind, fields: dict[str, Any]) -> Row:
    own = {name: fields[name] for name in COMMON if fields.get(name) is not None}
    own |= {ours: fields[name] for name, ours in kind.names.items()}
    own |= {name: fields[name] for name in kind.optional if fields.get(name) is not None}
    try:
        return kind.row.model_validate(own)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        theirs = {ours: name for name, ours in kind.names.items()}
        field = ".".join(str(theirs.get(str(part), part)) for part in first["loc"])
        message = _PLAIN.get(first["type"], first["msg"]).removeprefix("Value error, ")
        raise ValueError(f"field {field!r}: {message}" if field else message) from None


_PLAIN = {
    "string_type": "it must be a text in quotes, not a number, a list or anything else",
    "string_too_short": "it is empty",
    "string_too_long": f"it has more than {MAX_CHARACTERS} characters",
    "string_unicode": "it holds half of a surrogate pair, which is no character",
    "list_type": "it must be a list of messages",
}
"""What pydantic says, for people who do not know pydantic."""


def record_json(stored: dict[str, Any]) -> str:
    """The canonical JSON of a stored row's record."""
    where = ("split", "item")
    return canonical_json({name: own for name, own in stored.items() if name not in where})


def preview(stored: dict[str, Any]) -> str:
    """What a person recognises a stored row by."""
    if "label" in stored:
        return f"{stored['label']}: {stored['text']}"
    if "text" in stored:
        return str(stored["text"])
    asked, answered = stored["messages"][-2:]
    return f"{asked.get('content', '')} → {answered.get('content', '')}"


def to_example(stored: dict[str, Any]) -> Example:
    """A stored row as the method takes it."""
    if "label" in stored:
        return Classification(stored["text"], stored["label"])
    if "text" in stored:
        return sift_core.Text(stored["text"])
    return Chat(tuple(stored["messages"]), tuple(stored.get("tools", ())))
