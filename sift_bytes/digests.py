"""SHA-256 of content, which names it here; MD5, which names it in DVC's stores."""

import hashlib
from pathlib import Path


def sha256_of(data: bytes) -> str:
    """SHA-256 of bytes, 64 hex characters."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hex characters, in bounded memory. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5_of(data: bytes) -> str:
    """MD5 of bytes, hex: where to find them in DVC's stores, never a guard against forgery."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def md5() -> "hashlib._Hash":
    """A new MD5, for content that passes by in pieces."""
    return hashlib.md5(usedforsecurity=False)
