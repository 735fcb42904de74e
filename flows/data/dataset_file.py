"""The file of a contributor's rows as it is stored: how it is written, and the one way to read it.

A line with the salt (`flows/hashing.py`), then JSON Lines in their one canonical spelling: each row
ends with the byte `\n`, and no other byte or character ends one. JSON leaves U+2028, U+0085 and
their like as they are within a text, and much of Python takes them for the end of a line; so
nothing but this file takes such bytes apart.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from flows.data.fields import no_constant
from flows.errors import FlowError
from sift_bytes import canonical_json

Rows = list[dict[str, Any]]

_SALT = re.compile(rb'{"salt":"[0-9a-f]{64}"}\n')


class StoredRowsError(FlowError):
    """Bytes that are not rows as they are stored."""


def row_lines(train: Iterable[dict[str, Any]], test: Iterable[dict[str, Any]]) -> bytes:
    """Rows as JSON Lines: keys sorted, training rows first."""
    rows = [{"split": "train", **row} for row in train]
    rows += [{"split": "test", **row} for row in test]
    return "".join(canonical_json(row) + "\n" for row in rows).encode()


def stored_bytes(salt: str, lines: bytes) -> bytes:
    """A stored dataset: the salt, on a line of its own, and the rows."""
    return canonical_json({"salt": salt}).encode() + b"\n" + lines


def is_salted(data: bytes) -> bool:
    """Whether a stored dataset begins with a salt; that of a release before salts does not."""
    return _SALT.match(data) is not None


def stored_rows(data: bytes) -> tuple[Rows, Rows]:
    """Training and held-out rows of a stored dataset.

    Raises StoredRowsError, which repeats none of it, for bytes that we never write.
    """
    salt = _SALT.match(data)
    lines = data[salt.end() :] if salt else data
    train: Rows = []
    test: Rows = []
    try:
        for line in lines.split(b"\n")[:-1]:
            row = json.loads(line, parse_constant=no_constant)
            {"train": train, "test": test}[row.pop("split")].append(row)
        canonical = row_lines(train, test) == lines
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        canonical = False
    if not canonical:
        raise StoredRowsError(
            "This is not a file of rows as it was stored.",
            remedy="restore it with `dvc checkout data`, or by `sift contributors add` with the "
            "contributor's rows.",
        )
    return train, test
