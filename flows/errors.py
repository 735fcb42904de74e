"""The errors a user meets: each is one line with the facts and the remedy, and has an exit code."""

import errno


class FlowError(Exception):
    """Base of every error `flows` raises on purpose.

    `facts` says what was found, `remedy` says what the reader can do next. The exit code is 1
    where a check failed and 2 where the request itself was wrong.
    """

    exit_code = 1

    def __init__(self, facts: str, *, remedy: str) -> None:
        self.facts = facts
        self.remedy = remedy
        super().__init__(f"{facts} Remedy: {remedy}")


class WaitingError(FlowError):
    """A request waits for somebody. Lineage says for whom whenever it is asked: it is not noted."""


class UnreachedError(FlowError):
    """A store cannot do now what it is asked: what is due there is pending, and tried again."""


class UsageError(FlowError):
    """The request was wrong: nothing was started, nothing changed."""

    exit_code = 2


def explained(error: OSError) -> tuple[str, str]:
    """What the operating system refused, and what to do."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"The disk is full{where}.", "free some space and run the same command again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{error.strerror}{where}.",
            "make the workspace writable for you, then run the same command again.",
        )
    return f"{error.strerror or error}{where}.", "correct this, then run the same command again."
