"""Runs of the deployments, by Prefect's own runner, and their end with `sift up`."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from flows.operations.services.servers import END_SECONDS, ServiceError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State
    from prefect.flows import Flow
    from prefect.runner import Runner

_START_SECONDS = 60.0
_POLL_SECONDS = 0.1


class Runs:
    """What is started or scheduled in the UI, run by a runner in a thread of its own.

    The main thread is for signals: Prefect's own handler ends the process from within.
    """

    def __init__(self, runner: "Runner") -> None:
        self._runner = runner
        self._thread = threading.Thread(target=self._work, name="runs", daemon=True)
        self._ended_by: BaseException | None = None
        self._over = threading.Event()

    def start(self) -> None:
        """Begin to look for runs. Raises ServiceError where that fails at once."""
        self._thread.start()
        for _ in range(round(_START_SECONDS / _POLL_SECONDS)):
            self.require_alive()
            if self._runner.started:
                return
            self._over.wait(_POLL_SECONDS)
        raise ServiceError("Prefect's runner did not start.", remedy="run `sift up` again.")

    def require_alive(self) -> None:
        """Raise ServiceError where the runner has ended by itself."""
        if self._over.is_set():
            raise ServiceError(
                f"Prefect's runner has ended: {self._ended_by or 'without a word'}",
                remedy="see whether the Prefect server answers, then run `sift up` again.",
            )

    def end(self) -> None:
        """End every run, which Prefect then marks as cancelled, and the runner; wait for both."""
        if self._runner.started and not self._over.is_set():
            with suppress(TookTooLong):  # it is a daemon, and ends with this process
                self._runner.execute_in_background(self._runner.astop).result(2 * END_SECONDS)
        self._thread.join(END_SECONDS)
        for process in multiprocessing.active_children():
            process.kill()

    def _work(self) -> None:
        import anyio

        try:
            anyio.run(self._runner.start)
        except BaseException as error:  # noqa: BLE001  told by whoever asks next
            self._ended_by = error
        finally:
            self._over.set()


@contextmanager
def running(runner: "Runner") -> Iterator[Runs]:
    """Run what is started or scheduled while the block runs."""
    runs = Runs(runner)
    try:
        runs.start()
        yield runs
    finally:
        runs.end()


def tied_to_parent(flow: "Flow[..., Any]") -> "Flow[..., Any]":
    """The flow, whose runs end with the process that started them."""
    return flow.with_options(on_running=[*flow.on_running_hooks, end_with_parent])


def end_with_parent(flow: "Flow[..., Any]", flow_run: "FlowRun", state: "State[Any]") -> None:
    """Within a run: leave Ctrl-C to `sift up`, and watch whether that is still there."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sentinel = parent.sentinel

    def watch() -> None:
        multiprocessing.connection.wait([sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
