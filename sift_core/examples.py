"""What a record says to a model: a text with its class, a text, or a chat."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Message = Mapping[str, Any]
"""A turn of a chat as chat templates take it: `role`, `content`, and what tools ask and answer."""


@dataclass(frozen=True)
class Classification:
    """A text and the name of its class."""

    text: str
    label: str


@dataclass(frozen=True)
class Text:
    """A text of which every token is learned."""

    text: str


@dataclass(frozen=True)
class Chat:
    """A chat that ends with the assistant's turn; what the assistant says is learned."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    """What the assistant may call, each as a JSON schema."""

    @classmethod
    def of(cls, question: str, answer: str) -> "Chat":
        """A question with its answer: the shortest chat."""
        return cls((said("user", question), said("assistant", answer)))

    @property
    def answer(self) -> str:
        """What the assistant says last."""
        return str(self.messages[-1].get("content", ""))


Example = Classification | Text | Chat


def said(role: str, content: str) -> Message:
    """One turn of plain words."""
    return {"role": role, "content": content}
