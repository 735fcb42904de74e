"""The key of a workspace's servers: what every command of the workspace knows and no web page does.

It guards what runs on this machine while it runs, so it is drawn with the workspace and is no part
of a backup: a restored workspace draws another at its first use.
"""

import contextlib
import secrets
from pathlib import Path

from flows.errors import FlowError
from flows.workspace.identity import write_once

_BYTES = 32
_LENGTH = 2 * _BYTES


def key_path(root: Path) -> Path:
    """Where a workspace keeps the key of its servers."""
    return root / ".sift" / "server.key"


def server_key(root: Path) -> str:
    """The key, 64 hex digits, drawn at its first use and readable by its owner alone.

    Raises FlowError where the file is no key.
    """
    path = key_path(root)
    if not path.exists():
        with contextlib.suppress(FileExistsError):  # another command was first: its key it is
            write_once(path, secrets.token_hex(_BYTES))
    key = path.read_text(encoding="ascii", errors="replace").strip()
    if len(key) != _LENGTH or not set(key) <= set("0123456789abcdef"):
        raise FlowError(
            f"{path} is not a key.",
            remedy="end `sift up`, delete the file, then run this again: a new one is drawn.",
        )
    return key
