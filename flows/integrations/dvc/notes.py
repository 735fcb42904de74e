"""Small files of ours beside the objects in DVC's remote."""

from typing import Any

from flows.integrations.dvc.connection import Connection
from flows.integrations.dvc.objects import files


class Notes:
    """Notes in the remote, by folder and name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def names(self, folder: str) -> list[str]:
        """Return the names of the small files in a folder beside the objects in the remote."""
        with self._connection.open("look for notes in the remote") as repo:
            fs, path = beside_objects(repo, folder)
            return [fs.parts(file)[-1] for file in files(fs, path)]

    def read(self, folder: str, name: str) -> bytes:
        """Return one of them."""
        with self._connection.open("read a note in the remote") as repo:
            fs, path = beside_objects(repo, folder)
            return bytes(fs.cat_file(fs.join(path, name)))

    def write(self, folder: str, name: str, data: bytes) -> None:
        """Write a small file into a folder beside the objects in the remote."""
        with self._connection.open("write a note into the remote") as repo:
            fs, path = beside_objects(repo, folder)
            fs.makedirs(path, exist_ok=True)
            fs.pipe_file(fs.join(path, name), data)


def beside_objects(repo: Any, folder: str) -> tuple[Any, str]:
    """File system of the remote, and a folder of ours at its top."""
    top = repo.cloud.get_remote_odb(hash_name="md5-dos2unix")  # objects of today lie deeper
    return top.fs, top.fs.join(top.path, folder)
