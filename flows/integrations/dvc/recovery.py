"""What a killed DVC leaves half-written: it writes these files in place.

    .dvc/tmp/rwlock      which paths running commands read and write: nobody's once it is cut off
    dvc.lock, *.dvc      the record: git has the last whole one

And what it gathers for a push it takes for whole the next time: `Dvc.push` has it gathered anew.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.lock import make_lock
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK
from dvc.schema import COMPILED_LOCKFILE_SCHEMA, COMPILED_SINGLE_STAGE_SCHEMA
from dvc.utils.strictyaml import load


def drop_broken_lock_list(dvc_dir: Path) -> None:
    """Delete DVC's list of who reads and writes what, where it is not JSON.

    Under DVC's own lock for it: nobody is just writing. Raises LockError where somebody is.
    """
    folder = dvc_dir / "tmp"
    path = folder / RWLOCK_FILE
    if _is_json(path):
        return
    with make_lock(str(folder / RWLOCK_LOCK), tmp_dir=str(folder)):
        if not _is_json(path):
            path.unlink()


def broken_records(root: Path) -> Iterator[str]:
    """The names of files of the record, in `root`, that DVC could not read."""
    for path in sorted([*root.glob("*.dvc"), root / "dvc.lock"]):
        if path.is_file() and not _is_record(path):
            yield path.name


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except FileNotFoundError:
        return True
    except ValueError:
        return False
    return True


def _is_record(path: Path) -> bool:
    schema = COMPILED_LOCKFILE_SCHEMA if path.name == "dvc.lock" else COMPILED_SINGLE_STAGE_SCHEMA
    try:
        content, _ = load(str(path), schema)
    except DvcException:
        return False
    return bool(content)  # an empty file is what a killed write leaves
