"""Taking out of an error's words what a person could be known by, before they are logged.

Errors are written for whoever is at the terminal, and name what that person typed: ids, file names,
values. A log is kept, copied and searched by others. So three things go: everything in quotes,
which is how we write what came from outside; every argument of the command; and every id that
lineage knows. What is left are our own words. Where lineage cannot be asked, nothing is left.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from flows.errors import FlowError
from lineage import LineageError

GONE = "‹…›"
_QUOTED = re.compile(r"""(?<!\w)('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?!\w)""")
_OURS = re.compile(r"(opt-out|backup|disclosure)-\d+")
_SHORTEST_WORD = 3


def redacted(text: str, arguments: Sequence[str], root: Path | None) -> str:
    """The text without quotations, arguments and ids; empty where ids cannot be asked for.

    `root` is the workspace that the command was about, if it came so far.
    """
    try:
        names = [] if root is None else _names(root)
    except (LineageError, FlowError):
        return ""
    typed = [part for argument in arguments for part in _spellings(argument)]
    return _without(_QUOTED.sub(GONE, text), [*typed, *names])


def _names(root: Path) -> list[str]:
    from flows.workspace.workspace import Workspace  # it logs, too

    with Workspace(root).lineage.reader() as reader:
        return [row.external_id for row in reader.contributors() if row.external_id]


def _spellings(argument: str) -> Iterable[str]:
    """An argument as errors may show it: a value, a whole path, a file's name, each word."""
    value = argument.partition("=")[2] if argument.startswith("--") else argument
    if not value or value.startswith("-") or _OURS.fullmatch(value):
        return ()
    words = [word for word in value.split() if len(word) >= _SHORTEST_WORD]
    if "\x00" in value:
        return (value, *words)
    path = Path(value)
    return (value, str(path.resolve()), path.name, path.stem, *words)


def _without(text: str, words: Iterable[str]) -> str:
    for word in sorted({word for word in words if word.strip()}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", GONE, text, flags=re.IGNORECASE)
    return text
