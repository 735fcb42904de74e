"""A step of an opt-out: its name, which is lineage's, and its work."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flows.erasure.request import Request


@dataclass(frozen=True)
class Step:
    """One step. What it leaves is in `flows.erasure.results`.

    `work` takes the step for several requests together, is safe to repeat, and records it for each.
    A request that cannot take it is set aside (`flows.erasure.set_aside`), and the others go on.
    """

    name: str
    work: Callable[[Sequence[Request]], None]
