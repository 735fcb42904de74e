"""A step of an opt-out: its name, which is lineage's, and its work."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flows.erasure.request import Request, done_together
from flows.erasure.results import NothingBuilt
from flows.workspace.current_state import current_state_or_none
from lineage import MergeStateRecord


@dataclass(frozen=True)
class Step:
    """One step. What it leaves is in `flows.erasure.results`.

    `work` takes the step for several requests together, is safe to repeat, and records it for each.
    A request that cannot take it is set aside (`flows.erasure.set_aside`), and the others go on.
    """

    name: str
    work: Callable[[Sequence[Request]], None]


def of_the_state(name: str, work: Callable[[Sequence[Request], MergeStateRecord], None]) -> Step:
    """A step on the current merge state; where none was ever made, it has nothing to do."""

    def take(requests: Sequence[Request]) -> None:
        state = current_state_or_none(requests[0].workspace)
        if state is None:
            done_together(requests, name, NothingBuilt(nothing_built=True))
        else:
            work(requests, state)

    return Step(name, take)
