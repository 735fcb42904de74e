"""One request that fails stops no other: it is set aside with its reason, and tried again later.

Requests take a step together. What each needs for it alone is done one by one: who fails there is
noted in lineage, stays before the step, and the others take it without them. What would stop
whoever comes next just as well (a full disk, the lineage store) stops all, as ever.
"""

import errno
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from flows.errors import FlowError, WaitingError, explained
from flows.logging import event
from flows.workspace.log_redaction import redacted
from flows.workspace.workspace import Workspace
from lineage import (
    LineageConflictError,
    LineageError,
    LineageNotFoundError,
    LineageRecordError,
    OptOutOrderError,
)
from sift_core import SiftCoreError

OWN_ERRORS = (FlowError, LineageError, SiftCoreError)
"""The families of errors that we raise on purpose, with facts and a remedy."""
_OF_THE_MACHINE = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO),
        *(errno.ENOMEM, errno.EMFILE, errno.ENFILE),
    }
)
_OF_ONE_ROW = (LineageConflictError, LineageNotFoundError, LineageRecordError, OptOutOrderError)
_DEFECT = "report this as a defect, with what the log says; the next run tries the request again."


class Going(Protocol):
    """A request on its way (`flows.erasure.request.Request`)."""

    @property
    def workspace(self) -> Workspace:
        """Where it is a request."""

    @property
    def request_id(self) -> str:
        """Its number."""

    def next_step(self) -> str | None:
        """The step it stands before."""


One = TypeVar("One", bound=Going)
Result = TypeVar("Result")


class SetAsideError(FlowError):
    """Some requests were set aside; all that could be done for the others was done.

    `troubles` are the errors by request. `results` say how each request of the run ended, where
    this is the end of a run.
    """

    def __init__(self, troubles: Mapping[str, Exception]) -> None:
        self.troubles = dict(troubles)
        self.results: list[Any] = []
        alike: dict[tuple[str, str], list[str]] = {}
        for request_id, error in self.troubles.items():
            alike.setdefault(in_words(error), []).append(request_id)
        facts = " ".join(
            f"{', '.join(names)} {'was' if len(names) == 1 else 'were'} set aside: {found}"
            for (found, _), names in alike.items()
        )
        remedies = " ".join(dict.fromkeys(remedy for _, remedy in alike))
        super().__init__(facts, remedy=f"{remedies} The next run tries again.")


class Aside:
    """Who of a group could not take the step; filled while the others go on."""

    def __init__(self) -> None:
        self.troubles: dict[str, Exception] = {}

    def each(self, going: Iterable[One], work: Callable[[One], Result]) -> dict[One, Result]:
        """Do this for each; those for whom it could be done, with what came of it.

        Raises what concerns all.
        """
        done = {}
        for one in going:
            try:
                done[one] = work(one)
            except Exception as error:  # noqa: BLE001  whatever it is, it is of this one alone
                self.put(one, error)
        return done

    @contextmanager
    def within(self) -> Iterator[None]:
        """Take over who is set aside by the work within, which was done for the others."""
        try:
            yield
        except SetAsideError as error:
            self.troubles |= error.troubles

    def put(self, one: Going, error: Exception) -> None:
        """Set one aside, noted in lineage and the log; raises what concerns all instead."""
        if concerns_all(error):
            raise error
        workspace, step = one.workspace, one.next_step()
        facts, remedy = (redacted(text, (), workspace.root) or "…" for text in in_words(error))
        if step is not None and not isinstance(error, WaitingError):
            with workspace.lineage.writer() as recorder:
                recorder.process.set_aside(one.request_id, step, facts, remedy, datetime.now(UTC))
        event(
            "opt_out.set_aside",
            level=logging.WARNING,
            requests=[one.request_id],
            error=type(error).__name__,
            found=facts,
            remedy=remedy,
        )
        self.troubles[one.request_id] = error


@contextmanager
def setting_aside() -> Iterator[Aside]:
    """Let others go on within; raise SetAsideError at the end, for those who could not.

    Who was set aside by what ran within is among them.
    """
    aside = Aside()
    with aside.within():
        yield aside
    if aside.troubles:
        first = next(iter(aside.troubles.values()))
        raise SetAsideError(aside.troubles) from first


def concerns_all(error: BaseException) -> bool:
    """Whether it is of the machine or the lineage store, and so of no single request."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return True
        if isinstance(cause, OSError) and cause.errno in _OF_THE_MACHINE:
            return True
        if isinstance(cause, LineageError) and not isinstance(cause, _OF_ONE_ROW):
            return True
        cause = cause.__cause__
    return False


def in_words(error: Exception) -> tuple[str, str]:
    """Facts and remedy of whatever went wrong, each in whole sentences."""
    if isinstance(error, OWN_ERRORS):
        return error.facts, error.remedy
    if isinstance(error, OSError):
        return explained(error)
    return f"Something unforeseen happened ({type(error).__name__}).", _DEFECT


def is_foreseen(error: Exception) -> bool:
    """Whether it is one of our own errors, or the system's; anything else is a defect."""
    return isinstance(error, (*OWN_ERRORS, OSError))
