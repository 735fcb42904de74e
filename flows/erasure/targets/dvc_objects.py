"""DVC's cache and its remote, by content."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import ClassVar

from flows.erasure.request import Request
from flows.erasure.targets.needed import content_of
from flows.erasure.targets.target import Found, Impacts, Scope
from flows.integrations.dvc.objects import Place, StoredObject
from flows.models.record import push
from lineage import Impact, PurgeObjectRecord


class _DvcStore:
    """One of DVC's two stores."""

    labels: ClassVar[Mapping[str, str]]
    place: ClassVar[Place]
    after_record: ClassVar[bool] = True

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._dvc = scope.workspace.dvc

    def reach(self) -> None:
        """Walk it."""
        self._dvc.objects.holders((), [self.place])

    def prepare(self) -> None:
        """Nothing."""

    def find(self, requests: Sequence[Request], impacts: Impacts) -> dict[str, list[Found]]:
        """Objects with withdrawn content, and every folder listing that names one of them.

        The store is walked once, so a listing stands with each of these requests.
        """
        kinds = {name: content_of(impact) for name, impact in impacts.items()}
        held = self._dvc.objects.holders(set().union(*kinds.values()), [self.place])
        needed = self._scope.needed.content
        return {
            request.request_id: [
                Found(self.place, own.get(row.md5, "dvc_directory"), row.md5, row.bytes)
                for own in [kinds[request.request_id]]
                for row in held
                if row.md5 not in needed and (row.md5 in own or row.md5.endswith(".dir"))
            ]
            for request in requests
        }

    def expected(self, request: Request, impact: Impact) -> list[Found]:
        """The content that lineage knows; listings cannot be known."""
        needed = self._scope.needed.content
        return [
            Found(self.place, kind, md5)
            for md5, kind in sorted(content_of(impact).items())
            if md5 not in needed
        ]

    def spared(self) -> Collection[str]:
        """What others need: shared content, also what somebody brought a moment ago."""
        return self._scope.needed.content

    def back(self) -> Collection[str]:
        """What is in DVC's record now."""
        return self._scope.needed.content

    def erase(self, rows: Iterable[PurgeObjectRecord]) -> None:
        """Delete the objects, and what remembers them."""
        self._dvc.objects.destroy(map(self._stored, rows), [self.place])

    def still_there(self, rows: Iterable[PurgeObjectRecord]) -> list[PurgeObjectRecord]:
        """Ask the store again."""
        stored = {self._stored(row): row for row in rows}
        return [stored[left] for left in self._dvc.objects.still_there(stored)]

    def _stored(self, row: PurgeObjectRecord) -> StoredObject:
        return StoredObject(self.place, row.locator, "", row.bytes or 0)


class DvcCache(_DvcStore):
    """The cache, in the workspace."""

    labels: ClassVar[Mapping[str, str]] = {"dvc-cache": "Data version store, local cache"}
    place: ClassVar[Place] = "dvc-cache"


class DvcRemote(_DvcStore):
    """The remote, wherever it is."""

    labels: ClassVar[Mapping[str, str]] = {"dvc-remote": "Data version store, remote"}
    place: ClassVar[Place] = "dvc-remote"

    def prepare(self) -> None:
        """Let it have the record without who left: whoever clones it then needs nothing older."""
        self._dvc.remote.require_own(self._scope.workspace.identity)
        if self._scope.commit is not None:
            push(self._scope.workspace)
