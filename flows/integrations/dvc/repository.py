"""The door to DVC: large files by content, with their history, and the way to destroy one for good.

Everything goes through DVC's Python API in this process. A repository object is opened for each
operation and closed after it, because DVC caches configuration, index and object lists in it and a
kept one would answer from the past.

DVC has no command that destroys one file in all of history: `gc` keeps or drops whole commits, and
a directory's listing object (`<md5>.dir`) of an old commit goes on naming the file. Here the
objects are deleted by their hash from cache and remote, through DVC's object databases, after a
check that nothing current still needs them.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dvc.ignore import init as init_dvcignore

from flows.integrations.dvc.config import Remote, configure
from flows.integrations.dvc.destruction import DestroyingRepository
from flows.integrations.dvc.errors import DvcBusyError, DvcError, LiveObjectError, some, translated
from flows.integrations.dvc.objects import (
    BOTH,
    Inventory,
    Place,
    StoredObject,
    checked,
    files,
    hidden,
    stored,
)
from flows.integrations.dvc.recovery import broken_records, drop_broken_lock_list
from flows.integrations.dvc.settings import last_pushed_to
from flows.integrations.ownership import MARK, require_mark

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


class Dvc(DestroyingRepository):
    """The DVC repository of a workspace: to record, to move, to look up, to destroy."""

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

    def mend(self) -> list[str]:
        """Make recording possible again after a killed process; the files that must come from git.

        They are `dvc.lock` or `.dvc` files, relative to the root, that DVC could not read.
        """
        with translated(self.root, "see what a killed process left"):
            drop_broken_lock_list(self.root / ".dvc")
            return list(broken_records(self.root))

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

        The same as `dvc commit --force dvc.yaml`: no command runs, outputs go to the cache. Before
        the first build, only of stages that have made something.
        """
        with self._open("record the stages") as repo:
            stages = [stage for stage in repo.index.stages if stage.cmd]
            target = [str(self.root / "dvc.yaml")]
            if not all(out.exists for stage in stages for out in stage.outs):
                target = [stage.addressing for stage in stages if _has_made(stage.outs)]
            for name in target:
                self._require_cached(repo, repo.commit(target=name, force=True, relink=False))

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
            # What was gathered for a push of this record before is taken for whole, and a killed
            # process gathered half of it.
            repo.drop_data_index()
            sent = int(repo.push())
            here, remote = self._places(repo).values()
            # Where a listing is there, DVC believes that all it names is; one may be lost since.
            for md5 in self._lacking(repo):
                if here.exists(md5):
                    remote.add(here.oid_to_path(md5), here.fs, md5)
                    sent += 1
            missing = self._lacking(repo)
        if missing:
            raise DvcError(
                f"{len(missing)} object(s) did not reach the remote: {some(missing)}.",
                remedy="make sure that the remote has room and can be written to, then push again.",
            )
        return sent

    def pull(self) -> None:
        """Fetch what the current record needs and the cache lacks, and write the files."""
        with self._open("pull") as repo:
            repo.drop_data_index()  # as for a push
            repo.pull()

    # -- objects -----------------------------------------------------------------------------

    def object_path(self, md5: str) -> Path | None:
        """Return the local cache's file for an object, or None if it is not there. Read only."""
        md5 = checked(md5)
        with self._open("look up an object") as repo:
            odb = repo.cache.local
            return Path(odb.oid_to_path(md5)) if odb.exists(md5) else None

    def copy_object(self, md5: str, place: Place, target: Path) -> bool:
        """Copy an object out of one place into a file; False where it is not there."""
        md5 = checked(md5)
        with self._open("copy an object") as repo:
            odb = self._places(repo, [place])[place]
            if not odb.exists(md5):
                return False
            odb.fs.get_file(odb.oid_to_path(md5), str(target))
            return True

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
            return dict(self._remote_config(repo))

    def check_remote(self) -> str:
        """Look into the remote and say what was found there. Raises DvcError as a purge would."""
        with self._open("look into the remote") as repo:
            remote = self._places(repo)["dvc-remote"]
            count = sum(1 for _ in stored(remote))
            kept = sum(1 for _ in hidden(remote))
        return f"{count:,} objects" + (f", {kept:,} deleted ones kept as versions" if kept else "")

    def is_remote_empty(self) -> bool:
        """Whether the remote holds no object at all."""
        with self._open("look into the remote") as repo:
            return next(stored(self._places(repo)["dvc-remote"]), None) is None

    def require_filled_remote(self) -> None:
        """Raise `DvcError` where the remote holds no object at all, or cannot be reached.

        For a remote that was pushed to before: an empty one is another disk, or none.
        """
        if self.is_remote_empty():
            raise _emptied()

    def require_own_remote(self, identity: str) -> None:
        """Mark the remote as this workspace's, or raise ForeignPlaceError where it is another's.

        One that holds objects, and neither a mark nor anything that was pushed from here, is
        another's too. `DvcError` where it cannot be reached, or was pushed to and has nothing: a
        disk that is away is not made anew for a mark.
        """
        with self._open("look whose the remote is") as repo:
            fs, path = _beside_objects(repo, MARK)
            remote = self._places(repo)["dvc-remote"]
            found = fs.cat_file(path).decode("ascii", "replace") if fs.exists(path) else None
            if found is not None:
                require_mark(found.strip(), identity, self._url(repo))
                return
            known, is_empty = last_pushed_to(self.root) == self._url(repo), not any(stored(remote))
            if known and is_empty:
                raise _emptied()
            if not known and not is_empty:
                require_mark("", identity, self._url(repo))
            fs.makedirs(fs.parent(path), exist_ok=True)
            fs.pipe_file(path, f"{identity}\n".encode())

    # -- notes -------------------------------------------------------------------------------

    def note_names(self, folder: str) -> list[str]:
        """Return the names of the small files in a folder beside the objects in the remote."""
        with self._open("look for notes in the remote") as repo:
            fs, path = _beside_objects(repo, folder)
            return [fs.parts(file)[-1] for file in files(fs, path)]

    def read_note(self, folder: str, name: str) -> bytes:
        """Return one of them."""
        with self._open("read a note in the remote") as repo:
            fs, path = _beside_objects(repo, folder)
            return bytes(fs.cat_file(fs.join(path, name)))

    def write_note(self, folder: str, name: str, data: bytes) -> None:
        """Write a small file into a folder beside the objects in the remote."""
        with self._open("write a note into the remote") as repo:
            fs, path = _beside_objects(repo, folder)
            fs.makedirs(path, exist_ok=True)
            fs.pipe_file(fs.join(path, name), data)

    # -- inside ------------------------------------------------------------------------------

    def _remote_config(self, repo: Any) -> dict[str, Any]:
        config: dict[str, Any] = repo.config["remote"][repo.config["core"]["remote"]]
        return config

    def _url(self, repo: Any) -> str:
        return str(self._remote_config(repo)["url"])

    def _lacking(self, repo: Any) -> set[str]:
        """The live objects that the remote does not hold."""
        return self._live(repo) - {md5 for md5, _ in stored(self._places(repo)["dvc-remote"])}

    def _require_cached(self, repo: Any, stages: Iterable[Any]) -> None:
        """Raise unless the cache holds all that was just recorded: DVC only logs a failed copy."""
        recorded = self._reached(repo, [out for stage in stages for out in stage.outs])
        if missing := recorded - {md5 for md5, _ in stored(repo.cache.local)}:
            raise DvcError(
                f"{len(missing)} object(s) are not in the cache: {some(missing)}.",
                remedy="make room on the disk (or `dvc pull` what was never fetched), "
                "then run this again.",
            )


def _emptied() -> DvcError:
    return DvcError(
        "The DVC remote is empty, though it was pushed to before.",
        remedy="mount or connect it again; its url is in .dvc/config. Where it is gone for good, "
        "name an empty folder in its place: `dvc remote modify storage url FOLDER` (of a bucket: "
        "stores.remote in params.yaml).",
    )


def _has_made(outs: Sequence[Any]) -> bool:
    """Whether a stage has made something, or is recorded to have: then nothing may be missing."""
    return any(out.hash_info or (out.exists and not out.is_empty) for out in outs)


def _beside_objects(repo: Any, folder: str) -> tuple[Any, str]:
    """File system of the remote, and a folder of ours at its top."""
    top = repo.cloud.get_remote_odb(hash_name="md5-dos2unix")  # objects of today lie deeper
    return top.fs, top.fs.join(top.path, folder)
