"""Names and reasons that people give: kept for years, so they name no contributor.

After an opt-out the contributor's id is nowhere in the workspace. What was written about the
request stays, so a text that holds the id is refused when it is given.
"""

import getpass
import os
import re
from collections.abc import Iterable
from typing import Literal

from flows.errors import UsageError
from flows.workspace.likeness import as_read
from flows.workspace.workspace import Workspace

MAX_BASIS_LENGTH = 200
MAX_NAME_LENGTH = 200
MAX_REASON_LENGTH = 2000


Text = Literal["basis", "name", "reason", "consent", "recipient", "purpose"]
_EXAMPLES: dict[Text, str] = {
    "basis": "--basis gdpr-art-17",
    "name": "--by 'Ann Smith'",
    "reason": "--reason 'identity proven'",
    "consent": "--rejoin 'consent form 12'",
    "recipient": "--to 'Partner Ltd'",
    "purpose": "--purpose pilot",
}


def login_name() -> str:
    """The name of whoever is at this machine; `uid 12345` where the system has none for them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user: no variable, no entry in passwd
        return f"uid {os.getuid()}"


def require_person(workspace: Workspace, key: str, by: str, reason: str) -> None:
    """Raise UsageError unless a name and a reason are given, and neither names the contributor."""
    require_text("name", by, MAX_NAME_LENGTH)
    require_text("reason", reason, MAX_REASON_LENGTH)
    with workspace.lineage.reader() as reader:
        name = reader.contributor(key).external_id
    require_nameless([name] if name else [], by, reason)


def require_text(what: Text, text: str, longest: int) -> None:
    """Raise UsageError for a text that says nothing, is too long or holds what nobody can see."""
    if not text.strip() or len(text) > longest or "\x00" in text:
        raise UsageError(
            f"The {what} has {len(text.strip())} characters, not 1 to {longest}, or holds a NUL.",
            remedy=f"say it in plain words, such as {_EXAMPLES[what]}; nothing was recorded.",
        )


def require_nameless(external_ids: Iterable[str], *texts: str | None) -> None:
    """Raise UsageError where a text that is kept names a contributor whose name is not.

    However it is spelled: both are compared as they are read (`flows/workspace/likeness.py`).
    """
    folded = [as_read(text) for text in texts if text]
    for external_id in external_ids:
        name = as_read(external_id)
        word = re.compile(rf"(?<![\w@+:=.-]){re.escape(name)}(?![\w@+=-])")
        if any(name in text and word.search(text) for text in folded):
            raise UsageError(
                "This text names a contributor, and it stays when their name is erased.",
                remedy="write it without; the number of the request says whom it is about.",
            )
