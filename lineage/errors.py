"""The errors of the lineage store: each carries the facts and the remedy."""

from typing import ClassVar


class LineageError(Exception):
    """Base of every error `lineage` raises on purpose.

    `facts` says what was found, `remedy` says what the reader can do next. `exit_code` is what a
    command that ends on it returns: 1 a check failed, 2 the command was used wrongly.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, facts: str, *, remedy: str) -> None:
        self.facts = facts
        self.remedy = remedy
        super().__init__(f"{facts} Remedy: {remedy}")


class LineageMissingError(LineageError):
    """There is no lineage store at this path."""

    exit_code = 2


class LineageFileError(LineageError):
    """The file at this path is not a readable lineage store."""


class LineageExtraError(LineageError):
    """A package that this kind of store needs is not installed."""

    exit_code = 2


class LineageBusyError(LineageError):
    """Somebody else kept the store open for longer than we were ready to wait."""


class LineageSchemaError(LineageError):
    """The store's migrations are not the ones this version of the code knows."""


class LineageAlteredError(LineageError):
    """The store holds other tables, views or functions than this version of the code makes."""


class LineageWriteError(LineageError):
    """The database could not write; nothing of the transaction was kept."""


class LineageRecordError(LineageError):
    """A record has a field that the store cannot hold."""


class LineageConflictError(LineageError):
    """A write contradicts what the store already says."""


class LineageNotFoundError(LineageError):
    """The store has no such row."""

    exit_code = 2


class LineageQueryError(LineageError):
    """An auditor's SQL was refused or is wrong."""

    exit_code = 2


class OptOutOrderError(LineageError):
    """A step of an opt-out was recorded before the step it rests on, or after the end."""
