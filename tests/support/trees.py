"""What is in a folder, byte for byte, to show that a refused command changed nothing."""

import hashlib
from pathlib import Path

from flows.logging import FILE


def tree(root: Path) -> dict[str, str]:
    """Every file and folder below `root` with the SHA-256 of its bytes, but for the log."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "folder"
        for path in sorted(root.rglob("*"))
        if not path.is_relative_to(root / FILE.parent)
    }
