"""What all our Prefect flows and tasks have in common."""

import errno
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from flows.erasure.set_aside import OWN_ERRORS, SetAsideError
from flows.workspace.here import here
from flows.workspace.prefect_home import prefect_is_elsewhere

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_RETRY_DELAY_SECONDS = 5
_SAME_AGAIN = (PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError)

if not prefect_is_elsewhere():
    from flows.integrations.prefect.temporary import bring_own_server

    bring_own_server()


def run_name(what: str) -> str:
    """Such as `build films, 2026-11-25 03:00`: what, of which model, when in UTC."""
    return f"{what} {here().settings.model.name}, {datetime.now(UTC):%Y-%m-%d %H:%M}"


def sift_task(
    name: str, *, tags: Sequence[str] = (), retries: int = 0, run_name: str | None = None
) -> Callable[[Callable[Parameters, Result]], Task[Parameters, Result]]:
    """A Prefect task of this platform.

    Nothing is cached or persisted by Prefect: our own stores know what is done, and results would
    be pickled. A retry is for the outside world only, see `is_transient`. Tags are for filters and
    concurrency limits of a server that people look at; the temporary one, which nobody sees, would
    be asked for a limit before every task, and answers late.
    """
    return task(
        name=name,
        tags=["sift", *tags] if prefect_is_elsewhere() else [],
        task_run_name=run_name or name,
        retries=retries,
        retry_delay_seconds=_RETRY_DELAY_SECONDS,
        retry_condition_fn=is_transient,
        cache_policy=NO_CACHE,
        persist_result=False,
    )


def is_transient(_task: Any, _run: Any, state: Any) -> bool:
    """Whether trying again can help: never after an error that we raised on purpose.

    A mismatch of bits, bad data, a wrong setting or a full disk is the same at the second try.
    """
    try:
        state.result()
    except SetAsideError as error:
        return any(map(_may_pass, error.troubles.values()))
    except Exception as error:  # noqa: BLE001  whatever it is, it is looked at
        return _may_pass(error)
    return False


def _may_pass(error: Exception) -> bool:
    if isinstance(error, OWN_ERRORS):
        return False
    if isinstance(error, _SAME_AGAIN):
        return False
    return not (isinstance(error, OSError) and error.errno == errno.ENOSPC)
