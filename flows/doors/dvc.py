"""The door to DVC: large files by content, with their history, and the way to destroy one for good.

Everything goes through DVC's Python API in this process. A repository object is opened for each
operation and closed after it, because DVC caches configuration, index and object lists in it and a
kept one would answer from the past.

DVC has no command that destroys one file in all of history: `gc` keeps or drops whole commits, and
a directory's listing object (`<md5>.dir`) of an old commit goes on naming the file. Here the
objects are deleted by their hash from cache and remote, through DVC's object databases, after a
check that nothing current still needs them.
"""

import json
import logging
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from dvc.env import DVC_SITE_CACHE_DIR
from dvc.ignore import init as init_dvcignore
from dvc.repo import Repo, lock_repo
from dvc_data.hashfile.db import get_index

from flows.doors.dvc_config import Remote, configure, keep_inside, set_remote
from flows.doors.dvc_errors import DvcBusyError, DvcError, LiveObjectError, some, translated
from flows.doors.dvc_objects import (
    BOTH,
    MD5,
    Inventory,
    Place,
    StoredObject,
    checked,
    content_md5,
    delete,
    files,
    hidden,
    is_there,
    reader,
    remove,
    stored,
    sweep,
)

__all__ = [
    "BOTH",
    "Dvc",
    "DvcBusyError",
    "DvcError",
    "Inventory",
    "LiveObjectError",
    "Place",
    "Remote",
    "StoredObject",
]

# Importing DVC makes it write notes to standard output, where our own `--json` goes, and draw its
# own progress bars. Its errors stay; what it only warns of is checked here.
for _name in ("dvc", "dvc_data", "dvc_objects"):
    logging.getLogger(_name).setLevel(logging.ERROR)
for _name in ("dvc.progress", "dvc_data.callbacks"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class Dvc:
    """The DVC repository of the workspace `root`. Raises `DvcError` where there is none."""

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

    @classmethod
    def init(cls, root: Path, remote: Path) -> "Dvc":
        """Make the git repository `root` a DVC repository that pushes to the folder `remote`.

        Settings are written to `.dvc/config`, for git. A repository that exists already keeps its
        data and gets the same settings.
        """
        root = root.resolve()
        dvc_dir = root / ".dvc"
        dvc_dir.mkdir(exist_ok=True)
        configure(dvc_dir, Remote(str(remote.resolve())))
        init_dvcignore(root)
        dvc = cls(root)
        with dvc._open("set up the repository"):
            return dvc

    # -- recording ---------------------------------------------------------------------------

    def add(self, *paths: str) -> None:
        """Track files or folders, relative to the root: their content goes to the cache.

        Writes `<path>.dvc` beside each and a line in `.gitignore`. A path already tracked is
        recorded as it is now. The files themselves are left untouched and writable.
        """
        with self._open("add " + ", ".join(paths)) as repo:
            # relink would replace each file by a link or copy from the cache: needless here.
            stages = repo.add([str(self.root / path) for path in paths], relink=False)
            self._require_cached(repo, stages)

    def commit_stages(self) -> None:
        """Record in `dvc.lock` what the stages of `dvc.yaml` have read and written, as it is now.

        The same as `dvc commit --force dvc.yaml`: no command runs, outputs go to the cache.
        """
        with self._open("record the stages") as repo:
            stages = repo.commit(target=str(self.root / "dvc.yaml"), force=True, relink=False)
            self._require_cached(repo, stages)

    def status(self) -> dict[str, Any]:
        """Return what differs from the record, in the words of `dvc status`; empty if nothing.

        The keys are `.dvc` files and stage names as seen from the root.
        """
        with self._open("compare the workspace with its record") as repo:
            seen_from_here = os.path.relpath(self.root) + os.sep
            return {
                name.removeprefix(seen_from_here).removeprefix("dvc.yaml:"): changes
                for name, changes in repo.status().items()
            }

    # -- transport ---------------------------------------------------------------------------

    def push(self) -> int:
        """Copy what the remote lacks to it; return the number of objects sent.

        Afterwards every live object is there, or `DvcError` is raised: DVC alone only warns when an
        object is neither in the cache nor in the remote.
        """
        with self._open("push") as repo:
            sent = int(repo.push())
            remote = self._places(repo)["dvc-remote"]
            missing = self._live(repo) - {md5 for md5, _ in stored(remote)}
        if missing:
            raise DvcError(
                f"{len(missing)} object(s) did not reach the remote: {some(missing)}.",
                remedy="make sure that the remote has room and can be written to, then push again.",
            )
        return sent

    def pull(self) -> None:
        """Fetch what the current record needs and the cache lacks, and write the files."""
        with self._open("pull") as repo:
            repo.pull()

    # -- objects -----------------------------------------------------------------------------

    def object_path(self, md5: str) -> Path | None:
        """Return the local cache's file for an object, or None if it is not there. Read only."""
        md5 = checked(md5)
        with self._open("look up an object") as repo:
            odb = repo.cache.local
            return Path(odb.oid_to_path(md5)) if odb.exists(md5) else None

    def live_objects(self) -> set[str]:
        """Return the MD5 of every object that the current `.dvc` files and `dvc.lock` reach.

        A tracked folder counts with its listing (`<md5>.dir`) and with each file in it. A listing
        that is in neither place raises `DvcError`: what it needs could not be known.
        """
        with self._open("collect live objects") as repo:
            return self._live(repo)

    def remote_url(self) -> str:
        """Return where the remote is, as DVC reads its configuration: a path or a URL."""
        return str(self.remote_config()["url"])

    def remote_config(self) -> dict[str, Any]:
        """Return the settings of the remote, as DVC reads them; they may hold credentials."""
        with self._open("read where the remote is") as repo:
            return dict(repo.config["remote"][repo.config["core"]["remote"]])

    def check_remote(self) -> str:
        """Look into the remote and say what was found there. Raises DvcError as a purge would."""
        with self._open("look into the remote") as repo:
            remote = self._places(repo)["dvc-remote"]
            count = sum(1 for _ in stored(remote))
            kept = sum(1 for _ in hidden(remote))
        return f"{count:,} objects" + (f", {kept:,} deleted ones kept as versions" if kept else "")

    def require_filled_remote(self) -> None:
        """Raise `DvcError` where the remote holds no object at all, or cannot be reached.

        For a remote that was pushed to before: an empty one is another disk, or none.
        """
        with self._open("look into the remote") as repo:
            empty = next(stored(self._places(repo)["dvc-remote"]), None) is None
        if empty:
            raise DvcError(
                "The DVC remote is empty, though it was pushed to before.",
                remedy="mount or connect it again; its url is in .dvc/config.",
            )

    def holders(self, md5s: Iterable[str], within: Collection[Place] = BOTH) -> list[StoredObject]:
        """Return where the given objects are stored, with every listing that names one of them.

        Listings of old commits are found too, since the stores are walked and not the history, and
        what was deleted from a bucket that keeps versions. A listing is returned for its own MD5
        and for the MD5 of a file in it.
        """
        wanted = frozenset(checked(md5) for md5 in md5s)
        with self._open("look for objects") as repo:
            places = self._places(repo, within)
            listed = reader(places.values())
            found = [
                StoredObject(place, md5, path, int(odb.fs.size(path)))
                for place, odb in places.items()
                for md5, path in stored(odb)
                if md5 in wanted or (md5.endswith(".dir") and not wanted.isdisjoint(listed(md5)))
            ]
            # Of a deleted listing that a bucket keeps nobody can ask what it names.
            found += [
                StoredObject(place, md5, path, size)
                for place, odb in places.items()
                for md5, path, size in hidden(odb)
                if md5 in wanted or md5.endswith(".dir")
            ]
            return sorted(found)

    def inventory(self) -> Inventory:
        """Walk cache and remote and read every object. Raises `DvcError` as `live_objects` does."""
        with self._open("take stock of its objects") as repo:
            objects, altered = [], []
            names: dict[str, set[str]] = {}
            for place, odb in self._places(repo).items():
                for md5, path in stored(odb):
                    found = StoredObject(place, md5, path, int(odb.fs.size(path)))
                    objects.append(found)
                    if content_md5(odb, path) != md5.removesuffix(".dir"):
                        altered.append(found)
                    elif md5.endswith(".dir"):
                        for entry in json.loads(odb.fs.cat_file(path)):
                            names.setdefault(entry["md5"], set()).add(entry["relpath"])
                objects += [StoredObject(place, *row) for row in hidden(odb)]
            return Inventory(
                tuple(sorted(objects)),
                frozenset(self._live(repo)),
                {md5: frozenset(own) for md5, own in names.items()},
                tuple(sorted(altered)),
            )

    def destroy(self, objects: Iterable[StoredObject], within: Collection[Place] = BOTH) -> None:
        """Delete objects for good; those already gone are passed over, so it can be run again.

        Refuses with `LiveObjectError`, before anything is deleted, what `live_objects` still needs.
        Entries of DVC's run cache that name a deleted object go too, and unfinished copies that a
        killed DVC left in the stores, since nobody can tell whose bytes they hold. Only the places
        `within` are touched.
        """
        targets = list(objects)
        doomed = {checked(target.md5) for target in targets}
        with self._open("destroy objects") as repo, lock_repo(repo):
            _require_recorded(repo)
            if needed := doomed & self._live(repo):
                raise LiveObjectError(
                    f"{len(needed)} object(s) are still needed by a current entry, perhaps of "
                    f"another contributor with the same content: {some(needed)}.",
                    remedy="record the workspace without them first, or leave them out.",
                )
            places = self._places(repo, within)
            # Order matters if we are killed here: as long as the objects exist they can be found
            # again from their MD5, so what merely remembers them goes first.
            _forget(repo)
            for runs in _run_caches(repo, places):
                _drop_runs(*runs, doomed)
            for odb in places.values():
                sweep(odb)
            for target in targets:
                delete(places[target.place], target.md5)

    def is_absent(self, found: StoredObject) -> bool:
        """Look again whether the object is gone from its place."""
        md5 = checked(found.md5)
        with self._open("look for an object") as repo:
            return not is_there(self._places(repo)[found.place], md5)

    # -- inside ------------------------------------------------------------------------------

    @contextmanager
    def _open(self, doing: str) -> Iterator[Any]:
        """Open the repository for one operation, and speak of its failures in our own words."""
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

    def _places(self, repo: Any, within: Collection[Place] = BOTH) -> dict[Place, Any]:
        both = {"dvc-cache": repo.cache.local, "dvc-remote": repo.cloud.get_remote_odb()}
        return {place: both[place] for place in within}

    def _live(self, repo: Any) -> set[str]:
        return self._reached(repo, repo.index.outs)

    def _reached(self, repo: Any, outs: Iterable[Any]) -> set[str]:
        tracked = {out.hash_info.value for out in outs if out.use_cache and out.hash_info}
        listed = reader(self._places(repo).values())
        return tracked.union(*(listed(md5) for md5 in tracked if md5.endswith(".dir")))

    def _require_cached(self, repo: Any, stages: Iterable[Any]) -> None:
        """Raise unless the cache holds all that was just recorded: DVC only logs a failed copy."""
        recorded = self._reached(repo, [out for stage in stages for out in stage.outs])
        if missing := recorded - {md5 for md5, _ in stored(repo.cache.local)}:
            raise DvcError(
                f"{len(missing)} object(s) are not in the cache: {some(missing)}.",
                remedy="make room on the disk (or `dvc pull` what was never fetched), "
                "then run this again.",
            )


def _require_recorded(repo: Any) -> None:
    """Raise where outputs exist without a record: with `dvc.lock` lost, all would look dead."""
    outs = [o for o in repo.index.outs if o.use_cache and not o.hash_info]
    if bare := [o.def_path for o in outs if o.exists and not o.is_empty]:
        raise DvcError(
            f"No record says what {', '.join(bare)} needs, so nothing is destroyed.",
            remedy="restore it with `git checkout HEAD -- dvc.lock`, or run `sift build` first.",
        )


def _forget(repo: Any) -> None:
    """Clear DVC's notes on what the remote holds, else a later push would believe it is there."""
    with closing(get_index(repo.cloud.get_remote_odb())) as index:
        index.clear()
    repo.drop_data_index()


def _run_caches(repo: Any, places: dict[Place, Any]) -> Iterator[tuple[Any, str]]:
    """Give file system and folder of the run cache, local and (if someone pushed it) remote."""
    if "dvc-cache" in places:
        yield places["dvc-cache"].fs, repo.stage_cache.cache_dir
    if "dvc-remote" in places:
        legacy = repo.cloud.get_remote_odb(hash_name="md5-dos2unix")
        yield legacy.fs, legacy.fs.join(legacy.path, "runs")


def _drop_runs(fs: Any, folder: str, doomed: set[str]) -> None:
    for path in files(fs, folder):
        with fs.open(path, "rb") as file:
            named = MD5.findall(file.read().decode("utf-8", "replace"))
        if not doomed.isdisjoint(named):
            remove(fs, path)
