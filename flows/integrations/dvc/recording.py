"""Recording a workspace's files in DVC: their content in the cache, their digests for git."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

from flows.integrations.dvc.border import translated
from flows.integrations.dvc.connection import Connection
from flows.integrations.dvc.errors import DvcError, some
from flows.integrations.dvc.objects import stored
from flows.integrations.dvc.recovery import broken_records, drop_broken_lock_list


class Recording:
    """What is recorded, and recording what is new."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def mend(self) -> list[str]:
        """Make recording possible again after a killed process; the files that must come from git.

        They are `dvc.lock` or `.dvc` files, relative to the root, that DVC could not read.
        """
        with translated(self._connection.root, "see what a killed process left"):
            drop_broken_lock_list(self._connection.root / ".dvc")
            return list(broken_records(self._connection.root))

    def add(self, *paths: str) -> None:
        """Track files or folders, relative to the root: their content goes to the cache.

        Writes `<path>.dvc` beside each and a line in `.gitignore`. A path already tracked is
        recorded as it is now. The files themselves are left untouched and writable.
        """
        with self._connection.open("add " + ", ".join(paths)) as repo:
            # relink would replace each file by a link or copy from the cache: needless here.
            stages = repo.add([str(self._connection.root / path) for path in paths], relink=False)
            self._require_cached(repo, stages)

    def commit_stages(self) -> None:
        """Record in `dvc.lock` what the stages of `dvc.yaml` have read and written, as it is now.

        The same as `dvc commit --force dvc.yaml`: no command runs, outputs go to the cache. Before
        the first build, only of stages that have made something.
        """
        with self._connection.open("record the stages") as repo:
            stages = [stage for stage in repo.index.stages if stage.cmd]
            target = [str(self._connection.root / "dvc.yaml")]
            if not all(out.exists for stage in stages for out in stage.outs):
                target = [stage.addressing for stage in stages if _has_made(stage.outs)]
            for name in target:
                self._require_cached(repo, repo.commit(target=name, force=True, relink=False))

    def status(self) -> dict[str, Any]:
        """Return what differs from the record, in the words of `dvc status`; empty if nothing.

        The keys are `.dvc` files and stage names as seen from the root.
        """
        with self._connection.open("compare the workspace with its record") as repo:
            seen_from_here = os.path.relpath(self._connection.root) + os.sep
            return {
                name.removeprefix(seen_from_here).removeprefix("dvc.yaml:"): changes
                for name, changes in repo.status().items()
            }

    def _require_cached(self, repo: Any, stages: Iterable[Any]) -> None:
        """Raise unless the cache holds all that was just recorded: DVC only logs a failed copy."""
        recorded = self._connection.reached(repo, [out for stage in stages for out in stage.outs])
        if missing := recorded - {md5 for md5, _ in stored(repo.cache.local)}:
            raise DvcError(
                f"{len(missing)} object(s) are not in the cache: {some(missing)}.",
                remedy="make room on the disk (or `dvc pull` what was never fetched), "
                "then run this again.",
            )


def _has_made(outs: Sequence[Any]) -> bool:
    """Whether a stage has made something, or is recorded to have: then nothing may be missing."""
    return any(out.hash_info or (out.exists and not out.is_empty) for out in outs)
