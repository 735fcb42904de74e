"""The workspace's own files: rows, vectors, masks, superseded merge states, quarantined files."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from flows.erasure.request import Request
from flows.erasure.targets.target import Found, Impacts, Scope
from flows.models.rebuild import members_rebuilt, rebuilt_so_far
from flows.workspace.current_state import current_state_or_none
from lineage import Impact, PurgeObjectRecord

WORKSPACE = "workspace"


class WorkspaceFiles:
    """Files below the workspace's folder, by their path there."""

    labels: ClassVar[Mapping[str, str]] = {WORKSPACE: "Workspace"}
    after_record: ClassVar[bool] = False

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._workspace = scope.workspace

    def reach(self) -> None:
        """Nothing: who asks is in it."""

    def prepare(self) -> None:
        """Nothing."""

    def find(self, requests: Sequence[Request], impacts: Impacts) -> dict[str, list[Found]]:
        """Files of contributors, and every merge state but one that nothing withdrawn is in."""
        return {
            request.request_id: [
                Found(WORKSPACE, kind, self._locator(path), path.stat().st_size)
                for path, kind in self._files(request, impacts[request.request_id]).items()
                if path.exists()
            ]
            for request in requests
        }

    def expected(self, request: Request, impact: Impact) -> list[Found]:
        """What `find` finds: this place is always within reach."""
        return self.find([request], {request.request_id: impact})[request.request_id]

    def spared(self) -> Collection[str]:
        """Nothing: a file here belongs to one contributor."""
        return ()

    def back(self) -> Collection[str]:
        """Files of whoever came back with the same rows, the current merge state, its rebuild."""
        place, current = self._workspace, current_state_or_none(self._workspace)
        states = set()
        if current is not None:
            states = {place.state_file(current.state_sha256), rebuilt_so_far(place, current)}
        return {self._locator(path) for path in self._scope.needed.files | states if path}

    def erase(self, rows: Iterable[PurgeObjectRecord]) -> None:
        """Unlink the files."""
        for row in rows:
            (self._workspace.root / row.locator).unlink(missing_ok=True)

    def still_there(self, rows: Iterable[PurgeObjectRecord]) -> list[PurgeObjectRecord]:
        """Look whether the files are there."""
        return [row for row in rows if (self._workspace.root / row.locator).exists()]

    def _files(self, request: Request, impact: Impact) -> dict[Path, str]:
        """All files of this contributor, or those that held withdrawn records; states.

        Of some records, a file that the remaining rows made too (the withdrawn ones had been held
        out) stays.
        """
        place, key = self._workspace, request.key
        if request.record.records is None:
            files = place.files_of(key)
        else:
            files = {place.data_file(key, row.sha256): "dataset" for row in impact.datasets}
            for row in impact.vectors:
                files[place.vector_file(key, row.vector_sha256)] = "vector"
                files[place.mask_file(key, row.mask_sha256)] = "mask"
            own = set(place.files_of(key)) if _is_member(impact) else set()
            needed = self._scope.needed.files - own
            files = {path: kind for path, kind in files.items() if path not in needed}
        current = current_state_or_none(place)
        stays = current is not None and current not in impact.states
        keep = place.state_file(current.state_sha256) if current and stays else None
        states = sorted(path for path in place.merge.iterdir() if path != keep)
        # Nobody can tell whose data a hostile worker's files hold; damaged ones say whose they are.
        began = self._rebuild(key)
        hostile = [*sorted(place.quarantine.glob("*.bin")), *place.quarantine.glob(f"{key}-*")]
        return (
            files
            | dict.fromkeys([*states, *began], "merge_state")
            | dict.fromkeys(hostile, "quarantined")
        )

    def _rebuild(self, key: str) -> list[Path]:
        """The file of an unfinished rebuild, where it holds their vector or nobody can tell.

        What is added to it later, less it, would be what it holds of them.
        """
        members = members_rebuilt(self._workspace)
        inside = members is None or key in members
        return sorted(self._workspace.rebuild.glob("*.safetensors")) if inside else []

    def _locator(self, path: Path) -> str:
        return path.relative_to(self._workspace.root).as_posix()


def _is_member(impact: Impact) -> bool:
    """Whether something withdrawn is in the data of today: the request has removed nothing yet."""
    return any(row.superseded_at is None and row.destroyed_at is None for row in impact.datasets)
