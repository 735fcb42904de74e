"""The turns of a chat as the ecosystem writes them, tools and calls of tools included.

Files differ in how they write what is the same: Parquet fills fields that a turn does not have with
null, and arguments come as an object or as its JSON. One record has one form.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from flows.data.fields import MAX_CHARACTERS, Text, json_number, no_constant, require_shallow


def _from_json(value: object) -> object:
    """What a text of JSON says; anything else as it is."""
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS:
        return value
    try:
        found = json.loads(
            value, parse_constant=no_constant, parse_int=json_number, parse_float=json_number
        )
        require_shallow(found)
    except (ValueError, RecursionError):
        raise ValueError("it is a text that is no JSON, or is nested too deeply") from None
    return found


def _without_nulls(value: object) -> object:
    """Nested objects without the fields that are null."""
    if isinstance(value, dict):
        return {name: _without_nulls(own) for name, own in value.items() if own is not None}
    return [_without_nulls(own) for own in value] if isinstance(value, list) else value


JsonObject = Annotated[dict[str, Any], BeforeValidator(_from_json)]
Tools = Annotated[
    list[Annotated[dict[str, Any], BeforeValidator(_without_nulls), BeforeValidator(_from_json)]],
    Field(max_length=1000),
    BeforeValidator(_from_json),
]
"""What the assistant may call: JSON schemas, or their JSON."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class Function(_Part):
    """Which tool is called, with what."""

    name: Text
    arguments: JsonObject


class ToolCall(_Part):
    """One call of a tool by the assistant."""

    type: Literal["function"] = "function"
    id: Text | None = None
    function: Function


Calls = Annotated[list[ToolCall], Field(min_length=1, max_length=1000), BeforeValidator(_from_json)]


class Message(_Part):
    """One turn of a chat."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | None = None
    tool_calls: Calls | None = None
    """Of the assistant alone, who may then say nothing else."""
    tool_call_id: Text | None = None
    """Of a tool's turn: which call it answers."""
    name: Text | None = None
    """Of a tool's turn: which tool says it."""

    @model_validator(mode="before")
    @classmethod
    def _nothing_as_nothing(cls, fields: Any) -> Any:
        """An empty list of calls, and an empty content beside calls, say nothing."""
        if not isinstance(fields, dict):
            return fields
        calls = fields.get("tool_calls") or None
        said = fields.get("content")
        return {**fields, "tool_calls": calls, "content": said or None if calls else said}

    @model_validator(mode="after")
    def _says_something(self) -> "Message":
        if self.content is None and self.tool_calls is None:
            raise ValueError(f"a message of the {self.role} has no content")
        if self.tool_calls is not None and self.role != "assistant":
            raise ValueError(f"`tool_calls` are the assistant's, not the {self.role}'s")
        return self
