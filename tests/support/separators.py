"""Characters that some readers take for the end of a line."""

import sys
import unicodedata

SEPARATING = [
    char
    for char in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Zs"}
    or len(f"a{char}b".splitlines()) > 1
]
"""Every control, format, line, paragraph and space character, and whatever Python splits at."""
