"""The area of agents in the remote, as a place that holds what a request withdraws."""

from collections.abc import Collection, Iterable, Sequence
from functools import cached_property

from flows.agents.area import withdraw
from flows.doors.staging import BASES, RemoteAddress, Staging
from flows.holdings import Found, Impacts
from flows.removal import Removal
from flows.workspace import Workspace
from lineage import Impact, PurgeObject

AGENTS = "agents"


class AgentArea:
    """What lies between us and agents in the remote: nothing that anybody waits for any more.

    An opt-out holds the lock of the workspace, so no build is at work. Whose data an assignment
    that was left over holds is not looked up: all of them go.
    """

    places = frozenset({AGENTS})

    def __init__(self, workspace: Workspace) -> None:
        self._dvc = workspace.dvc

    @cached_property
    def _staging(self) -> Staging:
        return Staging(RemoteAddress.of(self._dvc))

    def find(self, removals: Sequence[Removal], impacts: Impacts) -> dict[str, list[Found]]:
        """Every object but the base model's, with each of these requests."""
        left = [
            Found(AGENTS, "agent_object", path, size)
            for path, size in self._staging.remains().items()
            if not path.startswith(f"{BASES}/")
        ]
        return {removal.request_id: left for removal in removals}

    def expected(self, removal: Removal, impact: Impact) -> list[Found]:
        """Lineage knows nothing of what agents left over: the next run looks again."""
        return []

    def spared(self) -> Collection[str]:
        """Nothing: nobody who stays needs any of it."""
        return ()

    def destroy(self, rows: Iterable[PurgeObject]) -> None:
        """Delete assignments as a whole, first what says that they are wanted."""
        for assignment in sorted({row.locator.partition("/")[0] for row in rows}):
            withdraw(self._staging, assignment)

    def is_absent(self, row: PurgeObject) -> bool:
        """Look again."""
        return row.locator not in self._staging.remains()
