"""DVC as this house uses it: large files by content, and the way to destroy one for good.

Everything goes through DVC's Python API in this process. A repository object is opened for each
operation and closed after it, because DVC caches configuration, index and object lists in it and a
kept one would answer from the past.

DVC has no command that destroys one file in all of history: `gc` keeps or drops whole commits, and
a directory's listing object (`<md5>.dir`) of an old commit goes on naming the file. Here the
objects are deleted by their hash from cache and remote, through DVC's object databases, after a
check that nothing current still needs them.

`Dvc` is made of parts, each with the operations on one thing.
"""

from pathlib import Path

from dvc.ignore import init as init_dvcignore

from flows.integrations.dvc.config import Remote, configure
from flows.integrations.dvc.connection import Connection
from flows.integrations.dvc.errors import DvcBusyError, DvcError, LiveObjectError
from flows.integrations.dvc.notes import Notes
from flows.integrations.dvc.objects import BOTH, Inventory, Place, StoredObject
from flows.integrations.dvc.recording import Recording
from flows.integrations.dvc.remote import RemoteStore
from flows.integrations.dvc.stored_objects import StoredObjects

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


class Dvc:
    """The DVC repository of a workspace: to record, to move, to look up, to destroy."""

    def __init__(self, root: Path, remote: Remote | None = None) -> None:
        """`remote`, where given, is pushed to from now on; else what `.dvc/config` says.

        Raises `DvcError` where there is no repository.
        """
        connection = Connection(root, remote)
        self.root = connection.root
        self.record = Recording(connection)
        self.remote = RemoteStore(connection)
        self.objects = StoredObjects(connection)
        self.notes = Notes(connection)

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
        with Connection(root).open("set up the repository"):
            return cls(root)
