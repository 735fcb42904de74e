"""An independent search for bytes: every file of a folder, also what it holds packed.

It knows nothing of our own code, and asks neither DVC nor MLflow nor lineage. git's objects, zip
and gzip files are unpacked, and every value of SQLite and DuckDB files is read out, since a
database may store a text compressed.
"""

import gzip
import io
import sqlite3
import subprocess
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import duckdb


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder with its bytes, and what is packed in it, hidden ones too."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            yield path, data
            for unpacked in _unpacked(path, data):
                yield path, unpacked


def _unpacked(path: Path, data: bytes) -> Iterator[bytes]:
    if ".git" in path.parts and len(path.parent.name) == 2 and len(path.name) == 38:
        yield zlib.decompress(data)
    elif path.suffix == ".pack":
        command = ["git", "cat-file", "--batch-all-objects", "--batch"]
        yield subprocess.run(command, cwd=path.parent, capture_output=True, check=True).stdout
    elif data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from map(archive.read, archive.namelist())
    elif data.startswith(b"SQLite format 3\x00"):
        with closing(sqlite3.connect(path)) as connection:
            yield "\n".join(connection.iterdump()).encode()
    elif data[8:12] == b"DUCK":
        yield _rows_of_duckdb(path)


def _rows_of_duckdb(path: Path) -> bytes:
    with duckdb.connect(str(path), read_only=True) as connection:
        tables = [
            row[0]
            for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        ]
        rows = [connection.execute(f'FROM "{table}"').fetchall() for table in tables]
    return repr(rows).encode()


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
