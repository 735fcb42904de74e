"""A base model as files, not loaded: what it is known by, and whether it is files at all."""

import hashlib
from pathlib import Path

from sift_bytes import file_sha256


def folder_sha256(folder: Path) -> str:
    """SHA-256 over the names and digests of all files below a folder: the id of a base model."""
    digest = hashlib.sha256()
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        name = path.relative_to(folder).as_posix()
        digest.update(f"{name}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def is_local(source: str) -> bool:
    """Whether a base model comes from files, and not from Hugging Face by its id."""
    return source.endswith(".gguf") or Path(source).exists()
