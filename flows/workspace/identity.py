"""Who a contributor is to us: a keyed hash, never the name.

A contributor id comes from outside and may be anything. It is written down in one place only, the
lineage store. Files, commits, logs, models and results name the contributor by its *contributor
key*: without the workspace's secret nobody can guess an id and test whether it is in there, and
once the lineage store has forgotten the id, the key alone leads nowhere.
"""

import hmac
import os
import secrets
import unicodedata
from pathlib import Path

from flows.errors import FlowError, UsageError
from flows.workspace.characters import is_ignorable

MAX_ID_LENGTH = 128
KEY_LENGTH = 32
SECRET_BYTES = 32

_PUNCTUATION = frozenset("._@+:=-")
_CATEGORIES = frozenset({"L", "M", "Nd"})
_GRAMMAR = (
    f"an id is 1 to {MAX_ID_LENGTH} letters, digits, accents and . _ @ + : = - with single spaces "
    "inside, and does not start with a dash; map other ids to such ones before adding them."
)


def normal_id(external_id: str) -> str:
    """Return the id in Unicode normal form C, the one spelling that everything else sees.

    Raises UsageError, naming the first thing that is wrong, for an id outside the grammar.
    """
    if not isinstance(external_id, str):
        raise _refused(repr(external_id), f"is a {type(external_id).__name__}, not a text")
    text = unicodedata.normalize("NFC", external_id)
    if not text:
        raise _refused(repr(text), "is empty")
    if len(text) > MAX_ID_LENGTH:
        raise _refused(repr(text), f"has {len(text)} characters")
    for at, char in enumerate(text):
        if not _is_allowed(char):
            name = unicodedata.name(char, "a character without a name")
            raise _refused(repr(text), f"holds U+{ord(char):04X} ({name}) at position {at + 1}")
    if text[0] == "-":
        raise _refused(repr(text), "starts with a dash, which a command line takes for an option")
    if unicodedata.category(text[0])[0] == "M":
        raise _refused(repr(text), "starts with an accent that has no letter to stand on")
    if text != text.strip(" ") or "  " in text:
        raise _refused(repr(text), "starts or ends with a space or has two in a row")
    return text


def contributor_key(secret: bytes, external_id: str) -> str:
    """Return the contributor key: the first 32 hex digits of HMAC-SHA256(secret, id).

    `secret` is the workspace's 32 bytes from `read_secret`. Two spellings of one id that differ
    only in Unicode composition have one key. Raises UsageError for an id outside the grammar.
    """
    text = normal_id(external_id)
    return hmac.new(secret, text.encode("utf-8"), "sha256").hexdigest()[:KEY_LENGTH]


def secret_path(workspace: Path) -> Path:
    """Return where a workspace keeps its secret."""
    return workspace / ".sift" / "secret.key"


def create_secret(workspace: Path) -> bytes:
    """Draw the workspace's secret, write it readable by its owner alone, and return its 32 bytes.

    Raises UsageError when there is one already: with another secret every contributor key changes.
    """
    path = secret_path(workspace)
    secret = secrets.token_bytes(SECRET_BYTES)
    try:
        write_once(path, secret.hex())
    except FileExistsError as error:
        raise UsageError(
            f"{path} exists already and is not replaced.",
            remedy="keep it: every contributor key of this workspace is made with it.",
        ) from error
    return secret


def write_once(path: Path, text: str) -> None:
    """Write a file readable by its owner alone. Raises FileExistsError where there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and linked into place: linking never overwrites, and a process killed here
    # leaves no half secret under the real name.
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def read_secret(workspace: Path) -> bytes:
    """Return the workspace's secret, 32 bytes, from `<workspace>/.sift/secret.key`.

    Raises UsageError where there is none, FlowError where the file is not a secret.
    """
    path = secret_path(workspace)
    try:
        written = path.read_text(encoding="ascii").strip()
        secret = bytes.fromhex(written)
    except FileNotFoundError as error:
        raise UsageError(
            f"{workspace} has no secret key ({path} is missing).",
            remedy="name a workspace with --workspace, or make one with `sift init PATH`; "
            "if the file was lost, restore it from a backup.",
        ) from error
    except ValueError as error:
        raise _damaged(path) from error
    if len(secret) != SECRET_BYTES:
        raise _damaged(path)
    return secret


def _is_allowed(char: str) -> bool:
    if char == " " or char in _PUNCTUATION:
        return True
    category = unicodedata.category(char)
    if category[0] not in _CATEGORIES and category not in _CATEGORIES:
        return False
    # Two ids that look alike would be two contributors.
    return not is_ignorable(char)


def _refused(shown: str, what: str) -> UsageError:
    short = shown if len(shown) <= 60 else shown[:56] + "...'"
    printable = short.encode("ascii", "backslashreplace").decode("ascii")
    return UsageError(f"The contributor id {printable} {what}.", remedy=_GRAMMAR)


def _damaged(path: Path) -> FlowError:
    return FlowError(
        f"{path} does not hold a secret of {SECRET_BYTES} bytes in hex.",
        remedy="restore it from a backup: no other secret yields the same contributor keys.",
    )
