"""What a field of a row may hold."""

import math
from typing import Annotated

from pydantic import AfterValidator, Field

from flows.workspace.characters import is_blank

MAX_CHARACTERS = 1_000_000
"""Of one field: far beyond what any model reads at once."""
MAX_LEVELS = 64
_DIGITS = 40


def no_constant(name: str) -> None:
    """Refuse NaN and infinity, which Python's parser takes for JSON (`parse_constant`)."""
    raise ValueError(f"{name} is no JSON value")


def json_number(text: str) -> int | float:
    """A number of JSON. Raises ValueError for one that is longer, or larger, than a float64."""
    if len(text) > _DIGITS:
        raise ValueError("it holds a number that is too long")
    found: int | float = float(text) if set(text) & set(".eE") else int(text)
    if not math.isfinite(found):
        raise ValueError("it holds a number that is too large")
    return found


def require_shallow(value: object, levels: int = MAX_LEVELS) -> None:
    """Raise ValueError where objects and lists are nested deeper than anybody writes them."""
    if isinstance(value, dict | list):
        if not levels:
            raise ValueError("it is nested too deeply")
        for own in value.values() if isinstance(value, dict) else value:
            require_shallow(own, levels - 1)


def _not_blank(text: str) -> str:
    if is_blank(text):
        raise ValueError("it is blank: nothing in it can be seen")
    return text


Text = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS), AfterValidator(_not_blank)]
Item = Annotated[str, Field(max_length=MAX_CHARACTERS)]
