"""The area of workers in the remote."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from flows.erasure.request import Request
from flows.erasure.targets.target import Found, Impacts, Scope
from flows.integrations.staging.staging import RemoteAddress, Staging
from flows.training.workers.staging_area import withdraw
from lineage import Impact, PurgeObjectRecord

WORKERS = "workers"


class WorkerArea:
    """What lies between us and workers in the remote: nothing that anybody waits for any more.

    An opt-out holds the lock of the workspace, so no build is at work. Whose data is in what was
    left over is not looked up, and workers may have written anything under any name: all of it
    goes, and the next build with a pool puts the base model there again. Lineage, which keeps the
    list, names each object by a keyed hash of its path.
    """

    labels: ClassVar[Mapping[str, str]] = {WORKERS: "Data version store, area of workers"}
    after_record: ClassVar[bool] = True

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._dvc = scope.workspace.dvc
        self._digests = scope.workspace.digests

    def reach(self) -> None:
        """List it."""
        self._staging.remains()

    def prepare(self) -> None:
        """Make sure that the remote is this workspace's."""
        self._dvc.remote.require_own(self._scope.workspace.identity)

    @cached_property
    def _staging(self) -> Staging:
        return Staging(RemoteAddress.of(self._dvc))

    def find(self, requests: Sequence[Request], impacts: Impacts) -> dict[str, list[Found]]:
        """Every object, with each of these requests."""
        left = [
            Found(WORKERS, "worker_object", self._name(path), size)
            for path, size in self._staging.remains().items()
        ]
        return {request.request_id: left for request in requests}

    def expected(self, request: Request, impact: Impact) -> list[Found]:
        """Lineage knows nothing of what workers left over: the next run looks again."""
        return []

    def spared(self) -> Collection[str]:
        """Nothing: nobody who stays needs any of it."""
        return ()

    def back(self) -> Collection[str]:
        """All: the next build with a pool puts the base model there, and shards while it runs."""
        return set(map(self._name, self._staging.remains()))

    def erase(self, rows: Iterable[PurgeObjectRecord]) -> None:
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
