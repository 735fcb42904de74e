"""An erasure target: one kind of place that may hold what a request withdraws."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from flows.erasure.request import Request
from flows.erasure.targets.needed import Needed
from flows.workspace.workspace import Workspace
from lineage import Impact, PurgeObjectRecord

Impacts = Mapping[str, Impact]
"""Request id → everything that holds what the request withdraws."""


@dataclass(frozen=True)
class Found:
    """One object to erase: where it lies, what it is, its size in bytes where that is known."""

    place: str
    kind: str
    locator: str
    bytes: int | None = None


@dataclass(frozen=True)
class Scope:
    """What a target is looked at for: a workspace, and what somebody who stays needs there.

    `commit` is the one that records the workspace without what is withdrawn; None before that, and
    where nothing was ever made.
    """

    workspace: Workspace
    needed: Needed
    commit: str | None = None


class Target(Protocol):
    """One place, or several of one kind. Every method raises UnreachedError while it is away."""

    labels: ClassVar[Mapping[str, str]]
    """The names of its places, as lineage has them → what a report calls them."""
    after_record: ClassVar[bool]
    """Whether the workspace is first recorded without what is withdrawn: what still stands in
    DVC's record is needed."""

    def __init__(self, scope: Scope) -> None: ...

    def reach(self) -> None:
        """Ask whether it answers. Changes nothing."""

    def prepare(self) -> None:
        """Do what must have happened before it is touched."""

    def find(self, requests: Sequence[Request], impacts: Impacts) -> dict[str, list[Found]]:
        """Look for all that must go: request id → objects, for each request. Changes nothing."""

    def expected(self, request: Request, impact: Impact) -> list[Found]:
        """What must be there by lineage alone, for a place that cannot be reached."""

    def spared(self) -> Collection[str]:
        """Locators of what somebody who stays needs too."""

    def back(self) -> Collection[str]:
        """Locators of what may rightly be there again after it was erased."""

    def erase(self, rows: Iterable[PurgeObjectRecord]) -> None:
        """Destroy what is there of these; what is gone already is passed over."""

    def still_there(self, rows: Iterable[PurgeObjectRecord]) -> list[PurgeObjectRecord]:
        """Look for them again: those that are not gone."""
