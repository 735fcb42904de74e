"""What an id looks like: ids that look alike may be one person.

Two texts say what an id looks like. Both are made of its Unicode compatibility form (NFKC), full
case folding, and the skeleton of Unicode's confusables (UTS 39), which puts letters that are drawn
alike down to one: Cyrillic `а` to `a`, `1` to `l`, `m` to `rn`. *As read* folds case first, so that
`Ann` is `ann`; *as drawn* takes the skeleton first, so that `paypaI` is `paypal`. Ids are alike
where one of the two is equal.

Kept beyond an id is a keyed hash of each, the *likeness*: as with a contributor key, nobody without
the workspace's secret can guess an id and try it. The tables are those of the pinned release of
`confusable-homoglyphs`, since a hash that was kept is compared with hashes of later years.
"""

import hmac
import unicodedata
from functools import cache

from confusable_homoglyphs import confusables

from flows.workspace.identity import KEY_LENGTH, normal_id

_LEFT_TO_RIGHT = "\u200e"
"""The tables put it around letters that are written from right to left."""


def as_read(text: str) -> str:
    """The text with case, compatibility forms and letters that are drawn alike put down to one."""
    return _settled(_folded(text))


def as_drawn(text: str) -> str:
    """The same for a text whose capitals are drawn like other small letters."""
    return _settled(_skeleton(unicodedata.normalize("NFKC", text)))


def forms(text: str) -> frozenset[str]:
    """What a text looks like."""
    return frozenset({as_read(text), as_drawn(text)})


def likenesses(secret: bytes, external_id: str) -> frozenset[str]:
    """The keyed hashes of what an id looks like, 32 hex digits each.

    Raises UsageError for an id outside the grammar.
    """
    return frozenset(_keyed(secret, form) for form in forms(normal_id(external_id)))


def _keyed(secret: bytes, form: str) -> str:
    # No contributor's id has such a character, so this is nobody's key.
    return hmac.new(secret, f"\0likeness\0{form}".encode(), "sha256").hexdigest()[:KEY_LENGTH]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _settled(text: str) -> str:
    """Skeleton and folding in turn, until neither changes anything: `М` is `M` is `m` is `rn`."""
    before = ""
    while text != before:
        before, text = text, _folded(_skeleton(text))
    return text


def _skeleton(text: str) -> str:
    """The skeleton of UTS 39, section 4."""
    decomposed = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFD", decomposed.translate(_prototypes()))


@cache
def _prototypes() -> dict[int, str]:
    """{character: what it is drawn like}, from a table that says so in both directions.

    In Unicode's own table every character leads to one prototype, which leads nowhere: so whoever
    has many neighbours is a prototype, and so is what is more than one character.
    """
    near: dict[str, set[str]] = {}
    for char, others in confusables.confusables_data.items():
        own = near.setdefault(char.replace(_LEFT_TO_RIGHT, ""), set())
        own.update(other["c"].replace(_LEFT_TO_RIGHT, "") for other in others)
    prototypes = {}
    for char, others in near.items():
        if len(char) > 1 or len(others) > 1:
            continue
        (other,) = others
        if len(other) > 1 or len(near[other]) > 1 or other < char:
            prototypes[ord(char)] = other
    return prototypes
