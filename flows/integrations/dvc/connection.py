"""A workspace's DVC repository, opened for each operation, and what its record reaches."""

import logging
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from dvc.env import DVC_SITE_CACHE_DIR
from dvc.repo import Repo

from flows.integrations.dvc.border import translated
from flows.integrations.dvc.config import Remote, keep_inside, set_remote
from flows.integrations.dvc.errors import DvcError
from flows.integrations.dvc.objects import BOTH, Place, reader
from flows.integrations.dvc.settings import require_own_settings
from flows.integrations.git import require_own_repository

# Importing DVC makes it write notes to standard output, where our own `--json` goes, and draw its
# own progress bars. Its errors stay; what it only warns of is checked here.
for _name in ("dvc", "dvc_data", "dvc_objects"):
    logging.getLogger(_name).setLevel(logging.ERROR)
for _name in ("dvc.progress", "dvc_data.callbacks"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class Connection:
    """Opens the DVC repository of the workspace `root`. Raises `DvcError` where there is none."""

    def __init__(self, root: Path, remote: Remote | None = None) -> None:
        """`remote`, where given, is pushed to from now on; else what `.dvc/config` says."""
        self.root = root.resolve()
        if not (self.root / ".dvc").is_dir():
            raise DvcError(
                f"{self.root} is not a DVC repository.",
                remedy="create the workspace with `sift init`, or give the right --workspace.",
            )
        keep_inside(self.root / ".dvc", self._site)
        if remote is not None:
            set_remote(self.root / ".dvc", remote)

    @contextmanager
    def open(self, doing: str) -> Iterator[Any]:
        """Open the repository for one operation, and speak of its failures in our own words.

        Raises ForeignSettingError, before DVC reads them, where settings could start a program.
        """
        require_own_settings(self.root)
        require_own_repository(self.root)  # DVC opens git's, too
        # This variable would win over the setting, and carry file names out of the workspace.
        os.environ.pop(DVC_SITE_CACHE_DIR, None)
        overrides = {"core": {"site_cache_dir": self._site}}
        with translated(self.root, doing), closing(Repo(str(self.root), config=overrides)) as repo:
            # DVC's run cache would remember superseded results, copy metrics into the cache, and
            # works only from within the workspace's folder. A flow knows better what is done.
            repo.stage_cache.save = lambda stage: None
            yield repo

    @property
    def _site(self) -> str:
        return str(self.root / ".dvc" / "tmp" / "site")

    def places(self, repo: Any, within: Collection[Place] = BOTH) -> dict[Place, Any]:
        """Cache and remote, as object databases of DVC's."""
        both = {"dvc-cache": repo.cache.local, "dvc-remote": repo.cloud.get_remote_odb()}
        return {place: both[place] for place in within}

    def live(self, repo: Any) -> set[str]:
        """MD5 of every object that the current `.dvc` files and `dvc.lock` reach."""
        return self.reached(repo, repo.index.outs)

    def reached(self, repo: Any, outs: Iterable[Any]) -> set[str]:
        """MD5 of what these outputs name, and of all in the folders among them."""
        tracked = {out.hash_info.value for out in outs if out.use_cache and out.hash_info}
        listed = reader(self.places(repo).values())
        return tracked.union(*(listed(md5) for md5 in tracked if md5.endswith(".dir")))
