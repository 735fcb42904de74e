"""What all our Prefect flows and tasks have in common.

Where no Prefect server is named nobody looks at a run, and none is made: a flow that is called is
the plain work, in this process. Prefect itself would start a server of its own for it, which takes
longer than most of that work. What was done stands in lineage and in the log either way.
"""

import errno
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, ParamSpec, TypeVar

from prefect import Flow, Task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL

from flows.erasure.set_aside import OWN_ERRORS, SetAsideError
from flows.logging import event
from flows.workspace.here import here

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_RETRY_DELAY_SECONDS = 5
_SAME_AGAIN = (PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError)


def is_watched() -> bool:
    """Whether this is within a run of Prefect's, which has a page to show something on."""
    return FlowRunContext.get() is not None


class SiftFlow(Flow[Parameters, Result]):
    """A flow of Prefect's; where no server is named, a call is the plain work."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Run it; what it raises is raised."""
        if is_watched() or PREFECT_API_URL.value() is not None:
            return super().__call__(*given, **named)
        return self.fn(*given, **named)


class SiftTask(Task[Parameters, Result]):
    """A task of Prefect's within a run; else the plain work, tried as often."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Run it; what it raises is raised."""
        if is_watched():
            return super().__call__(*given, **named)
        return self._tried(partial(self.fn, *given, **named))

    def _tried(self, work: Callable[[], Any]) -> Any:
        for _ in range(self.retries):
            try:
                return work()
            except Exception as error:
                if not may_pass(error):
                    raise
                event("task.tried_again", found=f"{self.name}: {type(error).__name__}")
                time.sleep(_RETRY_DELAY_SECONDS)
        return work()


def sift_flow(
    name: str, run_name: str, *, validate_parameters: bool = True
) -> Callable[[Callable[Parameters, Result]], SiftFlow[Parameters, Result]]:
    """A flow of this platform; a run of it is called such as `build films, 2026-11-25 03:00`."""

    def made(work: Callable[Parameters, Result]) -> SiftFlow[Parameters, Result]:
        return SiftFlow(
            work,
            name=name,
            flow_run_name=lambda: _run_name(run_name),
            persist_result=False,
            validate_parameters=validate_parameters,
        )

    return made


def _run_name(what: str) -> str:
    """What, of which model, when in UTC."""
    return f"{what} {here().settings.model.name}, {datetime.now(UTC):%Y-%m-%d %H:%M}"


def sift_task(
    name: str, *, tags: Sequence[str] = (), retries: int = 0, run_name: str | None = None
) -> Callable[[Callable[Parameters, Result]], SiftTask[Parameters, Result]]:
    """A task of this platform.

    Nothing is cached or persisted by Prefect: our own stores know what is done, and results would
    be pickled. A retry is for the outside world only, see `may_pass`. Tags are for filters and
    concurrency limits.
    """

    def made(work: Callable[Parameters, Result]) -> SiftTask[Parameters, Result]:
        return SiftTask(
            work,
            name=name,
            tags=["sift", *tags],
            task_run_name=run_name or name,
            retries=retries,
            retry_delay_seconds=_RETRY_DELAY_SECONDS,
            retry_condition_fn=is_transient,
            cache_policy=NO_CACHE,
            persist_result=False,
        )

    return made


def is_transient(_task: Any, _run: Any, state: Any) -> bool:
    """Whether trying again can help, as Prefect asks it."""
    try:
        state.result()
    except Exception as error:  # noqa: BLE001  whatever it is, it is looked at
        return may_pass(error)
    return False


def may_pass(error: Exception) -> bool:
    """Whether trying again can help: never after an error that we raised on purpose.

    A mismatch of bits, bad data, a wrong setting or a full disk is the same at the second try.
    """
    if isinstance(error, SetAsideError):
        return any(map(may_pass, error.troubles.values()))
    if isinstance(error, (*OWN_ERRORS, *_SAME_AGAIN)):
        return False
    return not (isinstance(error, OSError) and error.errno == errno.ENOSPC)
