"""The errors a user meets: each is one line with the facts and the remedy, and has an exit code."""


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


class UsageError(FlowError):
    """The request was wrong: nothing was started, nothing changed."""

    exit_code = 2
