"""How files are named by what is in them: by SHA-256 here, by MD5 in DVC's stores."""

import hashlib

_DIGITS = 32


def md5_of(data: bytes) -> str:
    """MD5 of bytes, hex: where to find them in DVC's stores, never a guard against forgery."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def artifact_name(contributor_key: str, sha256: str, ending: str) -> str:
    """The file name of one contributor's dataset, vector or mask with this content.

    Half of the digest tells contents apart; whoever reads the file compares all of it.
    """
    return f"{contributor_key}-{sha256[:_DIGITS]}{ending}"


def md5() -> "hashlib._Hash":
    """A new MD5, for content that passes by in pieces."""
    return hashlib.md5(usedforsecurity=False)
