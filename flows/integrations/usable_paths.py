"""Which folders a workspace may lie in: those that every library it rests on can name.

Found by trying: DuckDB takes `?` in a path for the begin of options, DVC fills in variables and
braces and breaks a setting at a separator of lines, MLflow undoes percent signs, SQLite opens no
file below a long path.
"""

import re
from pathlib import Path

from flows.errors import UsageError

LONGEST = 300
"""Bytes: SQLite's own limit is 512, and DVC's indexes lie some 150 below the workspace."""
_TAKEN = {"?": "DuckDB", "$": "DVC", "{": "DVC", "}": "DVC"}
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


def require_usable(folder: Path) -> None:
    """Raise UsageError where a workspace would not work in this folder, naming what is wrong."""
    text = str(folder)
    shown = ascii(text)[1:-1]
    remedy = "name another folder, or move the workspace to one (`sift workspace moved`)."
    for char in text:
        if char in _TAKEN:
            raise UsageError(
                f"The path {shown} holds {char!r}, which {_TAKEN[char]} takes for more.",
                remedy=remedy,
            )
        if not char.isprintable():
            raise UsageError(
                f"The path {shown} holds a character that cannot be printed, or bytes that are no "
                "UTF-8.",
                remedy=remedy,
            )
    if found := _ESCAPE.search(text):
        raise UsageError(
            f"The path {shown} holds {found.group()}: MLflow reads a percent sign with two hex "
            "digits as an escape.",
            remedy=remedy,
        )
    if len(text.encode()) > LONGEST:
        raise UsageError(
            f"The path {shown[:40]}… has {len(text.encode())} bytes: SQLite opens no file below "
            f"one of more than {LONGEST}.",
            remedy=remedy,
        )
