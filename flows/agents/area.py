"""What is in the staging area beside assignments at work: the base model, and nothing else."""

from pathlib import Path

from flows.agents.forms import BaseFile
from flows.doors.staging import BASES, Staging


def clear(staging: Staging) -> None:
    """Destroy everything but the base model: whoever left it is not waited for any more.

    An agent that is still at work finds its assignment gone, and gives nothing back.
    """
    folders = {path.partition("/")[0] for path in staging.list()}
    for folder in sorted(folders - {BASES}):
        withdraw(staging, folder)


def withdraw(staging: Staging, assignment: str) -> None:
    """Destroy an assignment: first what says that it is wanted, then all of it."""
    staging.destroy(f"{assignment}/assignment.json")
    staging.destroy(assignment)


def put_base(
    staging: Staging, folder: Path, base_id: str, *, afresh: bool = False
) -> tuple[BaseFile, ...]:
    """Let the staging area hold this base model and no other; its files.

    What is there in the right size is left as it is, unless `afresh`: agents compare the content.
    """
    target = f"{BASES}/{base_id}"
    for name in staging.list(BASES):
        if not name.startswith(f"{target}/"):
            staging.destroy(name)
    there = {} if afresh else staging.list(target)
    files = []
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        name, size = path.relative_to(folder).as_posix(), path.stat().st_size
        files.append(BaseFile(name=name, bytes=size))
        if there.get(f"{target}/{name}") != size:
            staging.put(f"{target}/{name}", path)
    return tuple(files)
