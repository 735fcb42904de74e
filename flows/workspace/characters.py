"""What can be seen of a text: characters that show nothing, or that a terminal obeys."""

import re
import unicodedata

# Letters and marks that show nothing (Unicode's Default_Ignorable_Code_Point within L and M).
_INVISIBLE = (
    (0x034F, 0x034F),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFFA0, 0xFFA0),
    (0xE0100, 0xE01EF),
)
_BRAILLE_BLANK = "\u2800"
_JSON_SAFE = re.compile(r"[^ -~\n]")


def is_ignorable(char: str) -> bool:
    """Whether it is a letter or a mark that shows nothing."""
    return any(first <= ord(char) <= last for first, last in _INVISIBLE)


def is_blank(text: str) -> bool:
    """Whether nothing in a text can be seen: spaces, controls, joiners, fillers."""
    return all(
        unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Zs"}
        or is_ignorable(char)
        or char == _BRAILLE_BLANK
        for char in text
    )


def plain(text: str) -> str:
    """The text with what is not printable spelled out, so that none of it reaches a terminal.

    Escapes, other controls, and characters that turn the direction of what follows.
    """
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def plain_json(text: str) -> str:
    """JSON with what is not printable escaped as JSON does it: for every parser the same value."""
    return _JSON_SAFE.sub(lambda found: _escaped(found[0]), text)


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
