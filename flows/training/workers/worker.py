"""What a worker does: fetch, finetune each contributor alone, give back.

A worker has the code and the remote; no workspace and no lineage. Of a contributor it holds rows
and vector in memory only: nothing of them is ever on its disk, so a killed worker leaves nothing
there. The base model, which is public, is kept between assignments.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import sift_bytes
import sift_core
from flows.data.dataset_file import stored_rows
from flows.errors import FlowError
from flows.integrations.staging.staging import BASES, RemoteAddress, Staging
from flows.progress import tracked
from flows.training.finetune import finetune_rows
from flows.training.method import parameterization
from flows.training.workers.machines import this_machine
from flows.training.workers.messages import Assignment, Failed, Finished, Stored, Task, coarse
from flows.workspace.settings import MethodSettings
from sift_core import BaseModel

ASSIGNMENT_BYTES = 1 << 26
"""No assignment is longer."""


class InputAlteredError(FlowError):
    """What was to be fetched is not what the assignment names. Nothing was computed from it."""


class UnknownMachineError(FlowError):
    """Results of this machine do not count in the workspace that gives out the assignment."""


class WithdrawnError(FlowError):
    """The assignment is not wanted any more: given to another worker, or its build has ended."""


def worker_home() -> Path:
    """Where a worker keeps base models: $SIFT_WORKER_HOME, else ~/.cache/sift-worker."""
    if own := os.environ.get("SIFT_WORKER_HOME"):
        return Path(own)
    try:
        return Path.home() / ".cache" / "sift-worker"
    except RuntimeError as error:
        raise FlowError(
            "This user has no home, where a worker would keep base models.",
            remedy="set SIFT_WORKER_HOME to a folder of the worker's own.",
        ) from error


def carry_out(remote: RemoteAddress, assignment: str, sha256: str, home: Path) -> int:
    """Do all of an assignment; how many contributors were finetuned.

    `sha256` is of the assignment's text, and comes from Prefect. A contributor whose finetuning
    fails gets a manifest that says so, and the others are done. Raises UnknownMachineError,
    InputAlteredError, WithdrawnError, StagingError.
    """
    staging = Staging(remote)
    given = _assignment(staging, assignment, sha256)
    machine = _machine(given)
    torch.set_num_threads(given.method.finetune.threads)
    base = _base(staging, given, home)
    done = 0
    for task in tracked("Finetuning", given.tasks, len(given.tasks)):
        _require_wanted(staging, assignment)
        done += _carry_out(staging, assignment, task, base, given.method, machine)
    return done


def _machine(given: Assignment) -> str:
    """The id of this machine. Raises UnknownMachineError before anything is computed."""
    machine = this_machine(given.method.finetune.device).machine_id
    if machine not in given.machines:
        raise UnknownMachineError(
            f"This machine, {machine[:16]}…, is not admitted in the workspace.",
            remedy="write `sift workers describe --out FILE` here; whoever builds reads it, and "
            "admits it with `sift workers admit FILE`.",
        )
    return machine


def _carry_out(
    staging: Staging,
    assignment: str,
    task: Task,
    base: BaseModel,
    method: MethodSettings,
    machine: str,
) -> int:
    """Finetune one contributor and give back what came of it; 1, or 0 where it failed."""
    rows = _rows(staging, assignment, task)
    try:
        result = finetune_rows(method, base, rows)
    except sift_core.SiftCoreError as error:
        failed = Failed(
            contributor_key=task.contributor_key,
            run_id=task.run_id,
            error=type(error).__name__,
        )
        _give_back(staging, assignment, failed, {})
        return 0
    vector, mask = result.vector.to_bytes(), result.vector.mask.to_bytes()
    lanes = result.vector.linear_digest(method.exactness.digest_seed)
    finished = Finished(
        contributor_key=task.contributor_key,
        run_id=task.run_id,
        dataset_sha256=task.dataset_sha256,
        base_id=base.base_id,
        vector=stored(vector),
        mask=stored(mask),
        linear_digest=tuple(map(str, lanes)),
        first_loss=coarse(result.losses[0]),
        last_loss=coarse(result.losses[-1]),
        machine=machine,
    )
    _give_back(
        staging, assignment, finished, {finished.vector.sha256: vector, finished.mask.sha256: mask}
    )
    return 1


def stored(data: bytes) -> Stored:
    """How an object is named in a manifest."""
    return Stored(sha256=sift_bytes.sha256_of(data), bytes=len(data))


def _give_back(
    staging: Staging, assignment: str, manifest: Finished | Failed, objects: Mapping[str, bytes]
) -> None:
    """Write the objects, then the manifest that names them.

    Where the assignment was withdrawn while this wrote, it takes back what it wrote: nothing stays
    behind that nobody waits for.
    """
    _require_wanted(staging, assignment)
    for sha256, data in objects.items():
        staging.put(f"{assignment}/out/{sha256}", data)
    text = manifest.model_dump_json().encode()
    staging.put(f"{assignment}/out/{manifest.contributor_key}.json", text)
    if not staging.holds(_ticket(assignment)):
        staging.destroy(f"{assignment}/out")
        raise _withdrawn(assignment)


def _require_wanted(staging: Staging, assignment: str) -> None:
    if not staging.holds(_ticket(assignment)):
        raise _withdrawn(assignment)


def _withdrawn(assignment: str) -> WithdrawnError:
    return WithdrawnError(
        f"Assignment {assignment} is not wanted any more.",
        remedy="none needed: it was given to another worker, or its build has ended.",
    )


def _ticket(assignment: str) -> str:
    return f"{assignment}/assignment.json"


def _assignment(staging: Staging, assignment: str, sha256: str) -> Assignment:
    try:
        text = staging.read(_ticket(assignment), ASSIGNMENT_BYTES)
    except FileNotFoundError:
        raise _withdrawn(assignment) from None
    _require_same(sift_bytes.sha256_of(text), sha256, _ticket(assignment))
    return Assignment.model_validate_json(text)


def _rows(staging: Staging, assignment: str, task: Task) -> list[dict[str, Any]]:
    """The training rows of one contributor, from the stored dataset."""
    path = f"{assignment}/in/{task.dataset_sha256}"
    try:
        data = staging.read(path, task.dataset_bytes)
    except FileNotFoundError:
        raise _withdrawn(assignment) from None
    _require_same(sift_bytes.sha256_of(data), task.dataset_sha256, path)
    train, _ = stored_rows(data)
    return train


def _require_same(found: str, wanted: str, path: str) -> None:
    if found != wanted:
        raise InputAlteredError(
            f"{path} has SHA-256 {found[:16]}…, {wanted[:16]}… was assigned.",
            remedy="see who writes to the staging area; the build hands it out again.",
        )


def _base(staging: Staging, given: Assignment, home: Path) -> BaseModel:
    """The base model of an assignment, fetched unless it is here, and checked each time."""
    folder = home / BASES / given.base_id
    if not folder.is_dir():
        _fetch_base(staging, given, folder)
    if sift_core.folder_sha256(folder) != given.base_id:
        shutil.rmtree(folder)
        raise InputAlteredError(
            f"The base model in the staging area is not {given.base_id[:16]}….",
            remedy="see who writes to the staging area; the build hands it out again.",
        )
    method = given.method
    return sift_core.load_base(
        folder,
        method.labels,
        parameterization(method),
        method.finetune.device,
        base_id=given.base_id,
    )


def _fetch_base(staging: Staging, given: Assignment, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as scratch:
        draft = Path(scratch) / "base"
        for file in given.base_files:
            target = draft / file.name
            if not target.resolve().is_relative_to(draft.resolve()):
                raise InputAlteredError(
                    f"{file.name!r} leaves the folder of the base model.",
                    remedy="see who gives out assignments.",
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            staging.fetch(f"{BASES}/{given.base_id}/{file.name}", target, file.bytes)
        if not folder.is_dir():  # another worker of this machine may have been quicker
            draft.replace(folder)
