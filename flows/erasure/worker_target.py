"""The area of workers in the remote, as a place that holds what a request withdraws."""

from collections.abc import Collection, Iterable, Sequence
from functools import cached_property

from flows.erasure.removal import Removal
from flows.erasure.targets import Found, Impacts
from flows.integrations.staging.staging import RemoteAddress, Staging
from flows.training.workers.staging_area import withdraw
from flows.workspace.workspace import Workspace
from lineage import Impact, PurgeObjectRecord

WORKERS = "workers"


class WorkerArea:
    """What lies between us and workers in the remote: nothing that anybody waits for any more.

    An opt-out holds the lock of the workspace, so no build is at work. Whose data is in what was
    left over is not looked up, and workers may have written anything under any name: all of it
    goes, and the next build with a pool puts the base model there again. Lineage, which keeps the
    list, names each object by a keyed hash of its path.
    """

    places = frozenset({WORKERS})

    def __init__(self, workspace: Workspace) -> None:
        self._dvc = workspace.dvc
        self._digests = workspace.digests

    @cached_property
    def _staging(self) -> Staging:
        return Staging(RemoteAddress.of(self._dvc))

    def find(self, removals: Sequence[Removal], impacts: Impacts) -> dict[str, list[Found]]:
        """Every object, with each of these requests."""
        left = [
            Found(WORKERS, "worker_object", self._name(path), size)
            for path, size in self._staging.remains().items()
        ]
        return {removal.request_id: left for removal in removals}

    def expected(self, removal: Removal, impact: Impact) -> list[Found]:
        """Lineage knows nothing of what workers left over: the next run looks again."""
        return []

    def spared(self) -> Collection[str]:
        """Nothing: nobody who stays needs any of it."""
        return ()

    def destroy(self, rows: Iterable[PurgeObjectRecord]) -> None:
        """Delete all there is, of each assignment first what says that it is wanted."""
        if any(True for _ in rows):
            for name in {path.partition("/")[0] for path in self._staging.remains()}:
                withdraw(self._staging, name)

    def still_there(self, rows: Iterable[PurgeObjectRecord]) -> list[PurgeObjectRecord]:
        """Look again."""
        left = set(map(self._name, self._staging.remains()))
        return [row for row in rows if row.locator in left]

    def _name(self, path: str) -> str:
        """How lineage names an object: its path is a worker's word, and holds what it likes."""
        return self._digests.path(path)
