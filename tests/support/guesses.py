"""Somebody who guesses a short text and holds its digests against all that is left of it.

Knows everything but the text: how rows are stored, how files are laid out, every other row. Looks
for digests as they are spelled anywhere, whole or cut short.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from flows.data.datasets import split_rows
from flows.data.rows import kinds_for, parse_row, record_json
from sift_bytes import canonical_json
from tests.support.traces import contents
from tests.support.workspaces import Rows

_WINDOW = 8
_PREFIX = 16
"""Digests are cut to no less than this many characters, or half as many raw bytes."""


class Leftovers:
    """All bytes below a folder, packed ones too, to be searched for many things at once."""

    def __init__(self, folder: Path) -> None:
        pieces = {data for _, data in contents(folder)}
        pieces |= {str(path.relative_to(folder)).encode() for path in folder.rglob("*")}
        self._all = b"\n".join(pieces)
        flat = np.frombuffer(self._all, np.uint8)
        windows = np.lib.stride_tricks.sliding_window_view(flat, _WINDOW)
        self._windows = np.unique(np.ascontiguousarray(windows).view(np.uint64).ravel())

    def having(self, needles: Iterable[bytes]) -> set[bytes]:
        """Those of these needles, 8 bytes or longer, that stand somewhere."""
        sought = list(needles)
        starts = np.array([int.from_bytes(one[:_WINDOW], "little") for one in sought], np.uint64)
        maybe = np.isin(starts, self._windows)
        return {one for one, there in zip(sought, maybe, strict=True) if there and one in self._all}


def spellings(data: bytes) -> Iterator[bytes]:
    """How a digest of these bytes begins wherever it is written down."""
    for algorithm in ("sha256", "sha1", "md5"):
        digest = hashlib.new(algorithm, data).digest()
        yield digest[: _PREFIX // 2]
        yield digest.hex()[:_PREFIX].encode()
        yield digest.hex()[:_PREFIX].upper().encode()
        yield base64.b64encode(digest)[:_PREFIX]
        yield base64.urlsafe_b64encode(digest)[:_PREFIX]


def named(rows: Rows, held_out: float) -> Iterator[bytes]:
    """What anybody may have taken a digest of, where these are a contributor's rows."""
    contributor = rows[0]["contributor"]
    stored = [parse_row(row, kinds_for(row.get("label", ""))).stored() for row in rows]
    split = split_rows(contributor, "", stored, held_out)
    lines = [{"split": "train", **row} for row in split.train]
    lines += [{"split": "test", **row} for row in split.test]
    yield _lines(lines)
    yield _lines(stored)
    yield _lines(rows)
    for row in (*lines, *stored):
        yield record_json(row).encode()
        yield _lines([row])
        yield _lines([row]).rstrip()
    for row in rows:
        yield from (str(value).encode() for value in row.values())
        yield json.dumps(row).encode()


def _lines(rows: Rows) -> bytes:
    return "".join(f"{canonical_json(row)}\n" for row in rows).encode()
