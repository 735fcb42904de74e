"""The errors of the lineage store: each carries the facts and the remedy."""


class LineageError(Exception):
    """Base of every error `lineage` raises on purpose.

    `facts` says what was found, `remedy` says what the reader can do next.
    """

    def __init__(self, facts: str, *, remedy: str) -> None:
        self.facts = facts
        self.remedy = remedy
        super().__init__(f"{facts} Remedy: {remedy}")
