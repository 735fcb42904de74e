"""What is in the staging area beside assignments at work: the base model, and nothing else."""

from pathlib import Path

from flows.integrations.staging.staging import BASES, PlantedError, Staging
from flows.training.workers.messages import BaseFile

_MOST_BASE_FILES = 100_000


def clear(staging: Staging) -> None:
    """Destroy everything but the base model: whoever left it is not waited for any more.

    A worker that is still at work finds its assignment gone, and gives nothing back.
    """
    for name in sorted(staging.names() - {BASES}):
        withdraw(staging, name)


def withdraw(staging: Staging, assignment: str) -> None:
    """Destroy an assignment: first what says that it is wanted, then all of it."""
    staging.destroy(f"{assignment}/assignment.json")
    staging.destroy(assignment)


def put_base(
    staging: Staging, folder: Path, base_id: str, *, afresh: bool = False
) -> tuple[BaseFile, ...]:
    """Let the staging area hold this base model and nothing else of the kind; its files.

    What is there in the right size is left as it is, unless `afresh`: workers compare the content.
    """
    target = f"{BASES}/{base_id}"
    own = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    files = tuple(BaseFile(name=name, bytes=own[name].stat().st_size) for name in own)
    there = _bases(staging)
    for name in there.keys() - {f"{target}/{name}" for name in own}:
        staging.destroy(name)
    for file in files:
        name = f"{target}/{file.name}"
        if afresh or there.get(name) != file.bytes:
            staging.put(name, own[file.name])
    return files


def _bases(staging: Staging) -> dict[str, int]:
    """What lies under the name of base models; where that is a trap, nothing any more."""
    try:
        return staging.list(BASES, _MOST_BASE_FILES)
    except PlantedError:
        staging.destroy(BASES)
        return {}
