"""What all our Prefect flows and tasks have in common.

Where no Prefect server is named nobody looks at a run, and none is made: a flow that is called is
the plain work, in this process. Prefect itself would start a server of its own for it, which takes
longer than most of that work; and it is not even imported then. What was done stands in lineage and
in the log either way.
"""

import errno
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial, update_wrapper
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from flows.erasure.set_aside import OWN_ERRORS, SetAsideError
from flows.logging import event
from flows.workspace.here import here

if TYPE_CHECKING:
    from prefect import Flow, Task

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_RETRY_DELAY_SECONDS = 5
_SAME_AGAIN = (PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError)
_SETTINGS = (".env", "prefect.toml", "pyproject.toml")
"""Files of a folder in which Prefect looks for settings."""


def is_watched() -> bool:
    """Whether this is within a run of Prefect's, which has a page to show something on."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None


def run_id() -> str | None:
    """The number of the run that this is within, None where there is none."""
    if not is_watched():
        return None
    from prefect.runtime import flow_run

    return flow_run.get_id()


def server_is_named() -> bool:
    """Whether Prefect's settings name a server. It is imported only where there are any."""
    if "prefect" not in sys.modules and not _has_settings():
        return False
    from prefect.settings import PREFECT_API_URL

    return PREFECT_API_URL.value() is not None


def _has_settings() -> bool:
    """Whether anything may have told Prefect of a server: its variables, its files."""
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    files = [home / "profiles.toml", *map(Path, _SETTINGS)]
    named = ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH")
    return any(os.environ.get(name) for name in named) or any(map(Path.is_file, files))


class SiftFlow(Generic[Parameters, Result]):
    """A flow; where no server is named, a call is the plain work."""

    def __init__(
        self,
        work: Callable[Parameters, Result],
        name: str,
        run_name: str,
        *,
        validate_parameters: bool,
    ) -> None:
        update_wrapper(self, work)
        self.fn, self.name = work, name
        self._run_name, self._validate_parameters = run_name, validate_parameters

    def __call__(self, *given: Parameters.args, **named: Parameters.kwargs) -> Result:
        """Run it; what it raises is raised."""
        if is_watched() or server_is_named():
            return self.prefect(*given, **named)
        return self.fn(*given, **named)

    @cached_property
    def prefect(self) -> "Flow[Parameters, Result]":
        """It as Prefect has it: for deployments, runs and their pages."""
        from prefect import Flow

        run_name = self._run_name  # alone: a flow is pickled, with all that its parts hold
        return Flow(
            self.fn,
            name=self.name,
            flow_run_name=lambda: _run_name(run_name),
            persist_result=False,
            validate_parameters=self._validate_parameters,
        )


class SiftTask(Generic[Parameters, Result]):
    """A task of Prefect's within a run; else the plain work, tried as often."""

    def __init__(
        self,
        work: Callable[Parameters, Result],
        name: str,
        run_name: str,
        *,
        tags: Sequence[str],
        retries: int,
    ) -> None:
        update_wrapper(self, work)
        self.fn, self.name, self.retries = work, name, retries
        self._run_name, self._tags = run_name, tags

    def __call__(self, *given: Parameters.args, **named: Parameters.kwargs) -> Result:
        """Run it; what it raises is raised."""
        if is_watched():
            return self.prefect(*given, **named)
        return self._tried(partial(self.fn, *given, **named))

    @cached_property
    def prefect(self) -> "Task[Parameters, Result]":
        """It as Prefect has it.

        Nothing is cached or persisted by Prefect: our own stores know what is done, and results
        would be pickled.
        """
        from prefect import Task
        from prefect.cache_policies import NO_CACHE

        return Task(
            self.fn,
            name=self.name,
            tags=["sift", *self._tags],
            task_run_name=self._run_name,
            retries=self.retries,
            retry_delay_seconds=_RETRY_DELAY_SECONDS,
            retry_condition_fn=is_transient,
            cache_policy=NO_CACHE,
            persist_result=False,
        )

    def _tried(self, work: Callable[[], Result]) -> Result:
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
        return SiftFlow(work, name, run_name, validate_parameters=validate_parameters)

    return made


def _run_name(what: str) -> str:
    """What, of which model, when in UTC."""
    return f"{what} {here().settings.model.name}, {datetime.now(UTC):%Y-%m-%d %H:%M}"


def sift_task(
    name: str, *, tags: Sequence[str] = (), retries: int = 0, run_name: str | None = None
) -> Callable[[Callable[Parameters, Result]], SiftTask[Parameters, Result]]:
    """A task of this platform.

    A retry is for the outside world only, see `may_pass`. Tags are for filters and concurrency
    limits.
    """

    def made(work: Callable[Parameters, Result]) -> SiftTask[Parameters, Result]:
        return SiftTask(work, name, run_name or name, tags=tags, retries=retries)

    return made


def loaded_flow(entrypoint: str) -> "Flow[..., Any]":
    """The flow of Prefect's that a module path names, one of ours or anybody's.

    Raises ImportError, AttributeError, and TypeError for what is no flow.
    """
    from prefect import Flow

    module, _, name = entrypoint.rpartition(".")
    found = getattr(import_module(module), name)
    flow = found.prefect if isinstance(found, SiftFlow) else found
    if not isinstance(flow, Flow):
        raise TypeError(f"{entrypoint} is no flow")
    return flow


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
