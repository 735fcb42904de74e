"""The digest DVC names content by. Everything of ours is named by SHA-256."""

import hashlib


def md5_of(data: bytes) -> str:
    """MD5 of bytes, hex: where to find them in DVC's stores, never a guard against forgery."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def md5() -> "hashlib._Hash":
    """A new MD5, for content that passes by in pieces."""
    return hashlib.md5(usedforsecurity=False)
