"""Objects in DVC's cache and remote: looking one up, destroying one, looking for it again.

Deleted by their hash, after a check that nothing current needs them: DVC's own `gc` keeps or drops
whole commits, and the listing (`<md5>.dir`) of an old commit goes on naming a file.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from dvc.repo import lock_repo
from dvc_data.hashfile.db import get_index

from flows.integrations.dvc.connection import Connection
from flows.integrations.dvc.errors import DvcError, LiveObjectError, some
from flows.integrations.dvc.objects import (
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


class StoredObjects:
    """The objects of a workspace, with the way to destroy one for good."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def path(self, md5: str) -> Path | None:
        """Return the local cache's file for an object, or None if it is not there. Read only."""
        md5 = checked(md5)
        with self._connection.open("look up an object") as repo:
            odb = repo.cache.local
            return Path(odb.oid_to_path(md5)) if odb.exists(md5) else None

    def copy(self, md5: str, place: Place, target: Path) -> bool:
        """Copy an object out of one place into a file; False where it is not there."""
        md5 = checked(md5)
        with self._connection.open("copy an object") as repo:
            odb = self._connection.places(repo, [place])[place]
            if not odb.exists(md5):
                return False
            odb.fs.get_file(odb.oid_to_path(md5), str(target))
            return True

    def live(self) -> set[str]:
        """Return the MD5 of every object that the current `.dvc` files and `dvc.lock` reach.

        A tracked folder counts with its listing (`<md5>.dir`) and with each file in it. A listing
        that is in neither place raises `DvcError`: what it needs could not be known.
        """
        with self._connection.open("collect live objects") as repo:
            return self._connection.live(repo)

    def holders(self, md5s: Iterable[str], within: Collection[Place] = BOTH) -> list[StoredObject]:
        """Return where the given objects are stored, with every listing that names one of them.

        Listings of old commits are found too, since the stores are walked and not the history, and
        what was deleted from a bucket that keeps versions. A listing is returned for its own MD5
        and for the MD5 of a file in it.
        """
        wanted = frozenset(checked(md5) for md5 in md5s)
        with self._connection.open("look for objects") as repo:
            places = self._connection.places(repo, within)
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
        with self._connection.open("take stock of its objects") as repo:
            objects, altered = [], []
            names: dict[str, set[str]] = {}
            for place, odb in self._connection.places(repo).items():
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
                frozenset(self._connection.live(repo)),
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
        with self._connection.open("destroy objects") as repo, lock_repo(repo):
            _require_recorded(repo)
            if needed := doomed & self._connection.live(repo):
                raise LiveObjectError(
                    f"{len(needed)} object(s) are still needed by a current entry, perhaps of "
                    f"another contributor with the same content: {some(needed)}.",
                    remedy="record the workspace without them first, or leave them out.",
                )
            places = self._connection.places(repo, within)
            # Order matters if we are killed here: as long as the objects exist they can be found
            # again from their MD5, so what merely remembers them goes first.
            _forget(repo)
            for runs in _run_caches(repo, places):
                _drop_runs(*runs, doomed)
            for odb in places.values():
                sweep(odb)
            for target in targets:
                delete(places[target.place], target.md5)

    def still_there(self, objects: Iterable[StoredObject]) -> list[StoredObject]:
        """Look again for objects: those that are not gone from their place."""
        sought = [(found, checked(found.md5)) for found in objects]
        with self._connection.open("look for objects again") as repo:
            places = self._connection.places(repo)
            return [found for found, md5 in sought if is_there(places[found.place], md5)]


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
