"""At a border to somebody else's library: whatever comes out of it ends as one line.

A tokenizer of another release raises KeyError, a converter a plain Exception, a validated
configuration an error of its own: no list of types holds them all.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sift_core.errors import ModelError, SiftCoreError

_LONGEST = 300
"""Characters of a cause: some libraries print whole tensors."""


@contextmanager
def border(doing: str, remedy: str, kind: type[SiftCoreError] = ModelError) -> Iterator[None]:
    """Raise an error of a kind, "{doing}: {the cause's own words}.", for whatever is raised within.

    Our own errors say what they have to say already; what is no Exception, such as Ctrl-C, passes.
    """
    try:
        yield
    except SiftCoreError:
        raise
    except Exception as error:
        raise kind(f"{doing}: {in_one_line(error)}.", remedy=remedy) from error


def in_one_line(error: BaseException) -> str:
    """What an error says, without line breaks, and what it is where its words alone say little."""
    words = " ".join(str(error).split())
    if len(words) > _LONGEST:
        words = words[:_LONGEST].rsplit(" ", 1)[0] + " …"
    plain = isinstance(error, OSError | RuntimeError | ValueError) and " " in words
    kind = type(error).__name__
    told = words if plain else f"{kind} {words}" if words else kind
    return told.rstrip(".")
