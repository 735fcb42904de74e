"""The search for traces finds what is packed: else finding nothing would say nothing."""

import gzip
import sqlite3
import subprocess
import zipfile
from pathlib import Path

import duckdb

from tests.support.traces import traces

NEEDLE = b"only the leaver wrote this"
TEXT = NEEDLE.decode()


def test_every_kind_of_packing_is_opened(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *arguments], cwd=repository, check=True, capture_output=True)

    repository = tmp_path / "repository"
    repository.mkdir()
    git("init", "-q")
    (repository / "file").write_bytes(NEEDLE)
    git("add", "file")
    git("commit", "-qm", "x")
    git("gc", "-q")
    (repository / "file").unlink()
    (tmp_path / "a.gz").write_bytes(gzip.compress(NEEDLE * 9))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside", NEEDLE * 9)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE t AS SELECT ? AS x", [TEXT])
    with duckdb.connect(str(tmp_path / "a.duckdb")) as store:
        store.execute("CREATE TABLE t AS SELECT $1 AS x FROM range(5000)", [TEXT])
    (tmp_path / "plain").write_bytes(NEEDLE.hex().encode())

    found = traces(tmp_path, {"text": NEEDLE, "nothing": b"nobody wrote that"})

    assert found.keys() == {"text"}
    kinds = {path.rpartition(".")[2] for path in found["text"]}
    assert kinds == {"pack", "gz", "zip", "db", "duckdb", "plain"}
