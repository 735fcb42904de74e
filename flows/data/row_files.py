"""What all formats of files of rows have in common: their columns, their size, their errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.data.rows import Kind, fields_of, named, wanted
from flows.errors import UsageError

MAX_ROW_BYTES = 1 << 26
"""64 MiB: of one line of JSON, or one field of CSV, with all that is not read."""
MAX_FILE_BYTES = 1 << 30
"""1 GiB: what one file may come to when it is decoded."""
ROW_BYTES = 256
"""What a row counts for besides its texts: a file of empty rows ends, too."""

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


class Size:
    """How much of a file has been decoded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes = 0

    def add(self, size: int) -> None:
        """Count one row. Raises UsageError where the file comes to too much."""
        self._bytes += size + ROW_BYTES
        self.require(self._bytes)

    def require(self, size: int) -> None:
        """Raise UsageError where so many bytes are too much for one file."""
        if size > MAX_FILE_BYTES:
            raise UsageError(
                f"{self._path.name} comes to more than {MAX_FILE_BYTES >> 30} GiB when it is "
                "decoded.",
                remedy="give several smaller files; nothing was added.",
            )


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are read, and where they stand."""

    places: Mapping[str, int]

    @classmethod
    def named(cls, path: Path, header: Sequence[str], kinds: Sequence[Kind]) -> "Columns":
        """Find the columns of these kinds. Raises UsageError that says what was found instead."""
        read = fields_of(kinds)
        places = {name: at for at, name in enumerate(header) if name in read}
        for name in places:
            if header.count(name) > 1:
                raise UsageError(
                    f"{path.name} has two columns {name!r}.",
                    remedy="rename one of them; nothing was added.",
                )
        if not any(all(name in places for name in kind.needed) for kind in kinds):
            raise UsageError(
                f"{path.name} has the columns {named(header)}; it needs {wanted(kinds)}."
                f"{_guess(header, read)}",
                remedy="name the columns so, in small letters, separated by commas; nothing was "
                "added.",
            )
        return cls(places)


def _guess(header: Sequence[str], read: Sequence[str]) -> str:
    """What is probably wrong with a header."""
    for separator, name in _SEPARATORS.items():
        if len(header) == 1 and separator in header[0]:
            return f" Its columns seem to be separated by {name}."
    for found in header:
        meant = found.strip().casefold()
        if found not in read and meant in read:
            return f" Column {found[:40]!a} is not `{meant}`."
    return ""


def unreadable(path: Path, error: Exception) -> UsageError:
    """What a library could not read, in one line with its own words."""
    first_line = (str(error).splitlines() or [""])[0].strip().rstrip(".")
    return UsageError(
        f"{path} is not readable: {first_line[:300] or type(error).__name__}.",
        remedy="mend the file, or convert it to JSON Lines in UTF-8; nothing was added.",
    )
