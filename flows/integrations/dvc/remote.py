"""DVC's remote of a workspace: bringing objects there and back, and whose it is."""

from typing import Any

from flows.integrations.dvc.connection import Connection
from flows.integrations.dvc.errors import DvcError, some
from flows.integrations.dvc.notes import beside_objects
from flows.integrations.dvc.objects import stored
from flows.integrations.dvc.settings import last_pushed_to
from flows.integrations.ownership import MARK, require_mark


class RemoteStore:
    """The remote, wherever it is."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def push(self) -> int:
        """Copy what the remote lacks to it; return the number of objects sent.

        Afterwards every live object is there, or `DvcError` is raised: DVC alone only warns when an
        object is neither in the cache nor in the remote.
        """
        with self._connection.open("push") as repo:
            # What was gathered for a push of this record before is taken for whole, and a killed
            # process gathered half of it.
            repo.drop_data_index()
            sent = int(repo.push())
            here, remote = self._connection.places(repo).values()
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
        with self._connection.open("pull") as repo:
            repo.drop_data_index()  # as for a push
            repo.pull()

    def url(self) -> str:
        """Return where the remote is, as DVC reads its configuration: a path or a URL."""
        return str(self.config()["url"])

    def config(self) -> dict[str, Any]:
        """Return the settings of the remote, as DVC reads them; they may hold credentials."""
        with self._connection.open("read where the remote is") as repo:
            return dict(self._config(repo))

    def is_empty(self) -> bool:
        """Whether the remote holds no object at all."""
        with self._connection.open("look into the remote") as repo:
            return next(stored(self._connection.places(repo)["dvc-remote"]), None) is None

    def require_filled(self) -> None:
        """Raise `DvcError` where the remote holds no object at all, or cannot be reached.

        For a remote that was pushed to before: an empty one is another disk, or none.
        """
        if self.is_empty():
            raise _emptied()

    def require_own(self, identity: str) -> None:
        """Mark the remote as this workspace's, or raise ForeignPlaceError where it is another's.

        One that holds objects, and neither a mark nor anything that was pushed from here, is
        another's too. `DvcError` where it cannot be reached, or was pushed to and has nothing: a
        disk that is away is not made anew for a mark.
        """
        with self._connection.open("look whose the remote is") as repo:
            fs, path = beside_objects(repo, MARK)
            remote = self._connection.places(repo)["dvc-remote"]
            found = fs.cat_file(path).decode("ascii", "replace") if fs.exists(path) else None
            if found is not None:
                require_mark(found.strip(), identity, self._url(repo))
                return
            known, is_empty = (
                last_pushed_to(self._connection.root) == self._url(repo),
                not any(stored(remote)),
            )
            if known and is_empty:
                raise _emptied()
            if not known and not is_empty:
                require_mark("", identity, self._url(repo))
            fs.makedirs(fs.parent(path), exist_ok=True)
            fs.pipe_file(path, f"{identity}\n".encode())

    def _config(self, repo: Any) -> dict[str, Any]:
        config: dict[str, Any] = repo.config["remote"][repo.config["core"]["remote"]]
        return config

    def _url(self, repo: Any) -> str:
        return str(self._config(repo)["url"])

    def _lacking(self, repo: Any) -> set[str]:
        """The live objects that the remote does not hold."""
        return self._connection.live(repo) - {
            md5 for md5, _ in stored(self._connection.places(repo)["dvc-remote"])
        }


def _emptied() -> DvcError:
    return DvcError(
        "The DVC remote is empty, though it was pushed to before.",
        remedy="mount or connect it again; its url is in .dvc/config. Where it is gone for good, "
        "name an empty folder in its place: `dvc remote modify storage url FOLDER` (of a bucket: "
        "stores.remote in params.yaml).",
    )
