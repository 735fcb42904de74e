"""Workers in this process: what a work pool does, without Prefect and without waiting."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from flows.integrations.staging.staging import RemoteAddress, Staging
from flows.training.workers.pool import RunState
from flows.training.workers.worker import WithdrawnError, carry_out

Act = Callable[["Errand"], None]
"""What the worker of one run does; raising makes the run fail."""


@dataclass(frozen=True)
class Errand:
    """One run of a worker."""

    remote: RemoteAddress
    assignment: str
    sha256: str
    home: Path

    @property
    def staging(self) -> Staging:
        return Staging(self.remote)

    @property
    def given_back(self) -> dict[str, int]:
        """What lies under `out`: path → size."""
        return self.staging.list(f"{self.assignment}/out")


def honest(errand: Errand) -> None:
    """Do what is asked."""
    carry_out(errand.remote, errand.assignment, errand.sha256, errand.home)


@dataclass
class LocalPool:
    """Runs each assignment when it is started; the n-th by the n-th act, later ones by the last."""

    home: Path
    acts: list[Act] = field(default_factory=lambda: [honest])
    errands: list[Errand] = field(default_factory=list)
    given_up: dict[str, str] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    name: str = "here"
    _run_states: dict[str, RunState] = field(default_factory=dict)

    def start(self, remote: RemoteAddress, assignment: str, sha256: str, size: int) -> str:
        errand = Errand(remote, assignment, sha256, self.home)
        act = self.acts[min(len(self.errands), len(self.acts) - 1)]
        self.errands.append(errand)
        try:
            act(errand)
        except WithdrawnError:
            raise AssertionError("an assignment at work is wanted") from None
        except SilentError:
            self._run_states[assignment] = RunState("working", "Running")
        except Exception as error:  # noqa: BLE001  as Prefect: whatever it was, the run failed
            self._run_states[assignment] = RunState("ended", "Failed", f"{type(error).__name__}: …")
        else:
            self._run_states[assignment] = RunState("ended", "Completed")
        return assignment

    def run_states(self, runs: Iterable[str]) -> dict[str, RunState]:
        return {run: self._run_states[run] for run in runs}

    def is_attended(self) -> bool:
        return True

    def give_up(self, run: str, why: str) -> None:
        self.given_up[run] = why

    def cancel(self, run: str) -> None:
        self.cancelled.append(run)


class SilentError(Exception):
    """The machine is gone: nothing more is heard of the run."""
