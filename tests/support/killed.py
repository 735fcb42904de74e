"""Work that is killed: a real process that ends by SIGKILL at a chosen point.

The processes come from a fork server that has imported everything once, also what DVC and MLflow
import when they are asked, so a kill costs as much as the work before it.
"""

import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import alembic.command  # noqa: F401  imported once, by the fork server
import dvc.data_cloud
import dvc.repo.index
import dvc.repo.plots  # noqa: F401
import networkx  # noqa: F401
import scmrepo.git  # noqa: F401

import flows.integrations.dvc.repository
import flows.integrations.mlflow.registry
import flows.serving.loading  # noqa: F401
import tests.support.workspaces  # noqa: F401


@dataclass(frozen=True)
class Point:
    """Where to die: before or after a call of a function, the first whose arguments mention `of`.

    `function` is written `module:name` or `module:Class.name`.
    """

    function: str
    when: Literal["before", "after"]
    of: str = ""

    def __str__(self) -> str:
        return f"{self.when} {self.function.partition(':')[2]} {self.of}".strip()

    def __post_init__(self) -> None:
        self._found()  # a name that is no function any more is an error where it is written

    def _found(self) -> tuple[Any, str, Callable[..., Any]]:
        """The module or class, the name of the function in it, and the function."""
        module, _, path = self.function.partition(":")
        owner: Any = importlib.import_module(module)
        *parents, name = path.split(".")
        for parent in parents:
            owner = getattr(owner, parent)
        return owner, name, getattr(owner, name)

    def arm(self) -> None:
        """Make this process die there."""
        owner, name, work = self._found()

        def deadly(*arguments: Any, **named: Any) -> Any:
            here = self.of in repr((arguments, named))
            if here and self.when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = work(*arguments, **named)
            if here:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, name, deadly)


def dies(work: Callable[[Path], None], root: Path, point: Point) -> bool:
    """Run `work` in a new process; whether it was killed at the point, and not before or never."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_run, args=(work, root, point))
    process.start()
    process.join(timeout=300)
    return process.exitcode == -signal.SIGKILL


def _run(work: Callable[[Path], None], root: Path, point: Point) -> None:
    point.arm()
    work(root)


def killed_after(work: Callable[[Path], None], root: Path, seconds: float) -> bool:
    """Run `work` in a new process and kill it after so long; False where it had ended by then."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=work, args=(root,))
    process.start()
    process.join(timeout=seconds)
    process.kill()
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise AssertionError(f"The work ended with exit code {process.exitcode}.")
    return process.exitcode != 0
