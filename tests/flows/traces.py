"""An independent search for bytes: every file of a folder, git's objects unpacked.

It knows nothing of DVC, MLflow or DuckDB, and asks none of them.
"""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder with its bytes, hidden ones too."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            yield path, data
            if ".git" in path.parts and "objects" in path.parts and not path.suffix:
                yield path, zlib.decompress(data)


def traces(folder: Path, needles: Mapping[str, bytes]) -> dict[str, set[str]]:
    """Where each needle lies: name → files relative to the folder, for those found at all."""
    found: dict[str, set[str]] = {}
    for path, data in contents(folder):
        for name, needle in needles.items():
            if needle in data or needle.hex().encode() in data:
                found.setdefault(name, set()).add(path.relative_to(folder).as_posix())
    return found


def tail(data: bytes, length: int = 256) -> bytes:
    """The end of a file, where the numbers are: enough to know it by."""
    return data[-length:]


def middle(data: bytes, length: int = 256) -> bytes:
    """A piece from the middle of a file, for one whose end others share."""
    start = len(data) // 2
    return data[start : start + length]
