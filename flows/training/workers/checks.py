"""What is asked of a worker's manifest and files before they count.

Reading is as strict as merging: canonical form to the byte, names and shapes of this base model,
grid, sign seed, one finite positive magnitude per set bit. Signs cannot be wrong in such a file: it
holds none, the sign vector gives them. That a vector is the one that this training gives cannot be
seen in it; a spot check runs the training again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from pydantic import ValidationError

import sift_bytes
import sift_core
from flows.integrations.staging.staging import PlantedError, Staging, TooLargeError
from flows.training.workers.errors import (
    DigestError,
    MachineError,
    ManifestError,
    ObjectAlteredError,
    ObjectInvalidError,
    ObjectIrregularError,
    ObjectMissingError,
    QuarantinedError,
)
from flows.training.workers.machines import Machine
from flows.training.workers.messages import MANIFEST, MANIFEST_BYTES, Failed, Finished, Stored, Task
from sift_core import InspectedVector, Kind, StoredVector

_AGAIN = "nothing: the contributor is given to a worker again; `sift workers quarantine` lists it."


@dataclass(frozen=True)
class Expected:
    """What every worker's files must be like, who may be in them, and where they may be made."""

    kind: Kind
    base_id: str
    digest_seed: int
    machines: Mapping[str, Machine]

    @property
    def mask_bytes(self) -> int:
        """The size of every mask file."""
        packed = sum(-(-prod(shape) // 8) for shape in self.kind.shapes.values())
        return len(self.kind.head_of_mask()) + packed

    @property
    def most_vector_bytes(self) -> int:
        """The size of a vector file in which no entry is zero."""
        counts = {name: prod(shape) for name, shape in self.kind.shapes.items()}
        return len(self.kind.head_of_vector(counts, "0" * 64)) + 2 * sum(counts.values())


def read_manifest(data: bytes, task: Task, expected: Expected) -> Finished | Failed:
    """The manifest of a task; the text of an error holds nothing of it.

    Raises ManifestError, MachineError.
    """
    if len(data) > MANIFEST_BYTES:
        raise refused(ManifestError, "The manifest is too long.")
    try:
        manifest = MANIFEST.validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise refused(
            ManifestError, f"The manifest is not of its form ({first['type']})."
        ) from None
    _require_about(manifest, task, expected)
    return manifest


def _require_about(manifest: Finished | Failed, task: Task, expected: Expected) -> None:
    wanted = {"contributor_key": task.contributor_key, "run_id": task.run_id}
    if isinstance(manifest, Finished):
        wanted |= {"dataset_sha256": task.dataset_sha256, "base_id": expected.base_id}
    for field, value in wanted.items():
        if getattr(manifest, field) != value:
            raise refused(ManifestError, f"The manifest is about another {field}.")
    if isinstance(manifest, Finished) and manifest.machine not in expected.machines:
        raise refused(MachineError, "The manifest names a machine that is not admitted.")


def fetch_objects(
    staging: Staging, folder: str, manifest: Finished, expected: Expected, scratch: Path
) -> StoredVector:
    """Copy vector and mask of a manifest to `scratch`, under names of our own.

    No more is read than such a file can have. Raises ObjectMissingError, ObjectIrregularError,
    ObjectAlteredError.
    """
    files = {}
    for name, claimed, most in (
        ("mask", manifest.mask, expected.mask_bytes),
        ("vector", manifest.vector, expected.most_vector_bytes),
    ):
        files[name] = scratch / name
        _fetch(staging, f"{folder}/{claimed.sha256}", files[name], name, claimed, most)
    return StoredVector(
        files["vector"], files["mask"], manifest.vector.sha256, manifest.mask.sha256
    )


def _fetch(
    staging: Staging, path: str, target: Path, name: str, claimed: Stored, most: int
) -> None:
    if claimed.bytes > most:
        raise refused(ObjectAlteredError, f"The {name} is larger than any {name} of this model.")
    try:
        size = staging.fetch(path, target, claimed.bytes)
    except FileNotFoundError:
        raise refused(
            ObjectMissingError, f"The {name} that the manifest names is missing."
        ) from None
    except PlantedError:
        raise refused(ObjectIrregularError, f"In place of the {name} there is no file.") from None
    except TooLargeError:
        raise refused(ObjectAlteredError, f"The {name} is longer than the manifest says.") from None
    if size != claimed.bytes or sift_bytes.file_sha256(target) != claimed.sha256:
        raise refused(ObjectAlteredError, f"The {name} is not the bytes that the manifest names.")


def inspect(files: StoredVector, manifest: Finished, expected: Expected) -> InspectedVector:
    """Read all of both files; what there is to record. Raises ObjectInvalidError, DigestError."""
    try:
        found = sift_core.inspect_vector(expected.kind, files, expected.digest_seed)
    except sift_core.SiftCoreError as error:
        raise refused(
            ObjectInvalidError,
            f"The vector is none of this workspace ({type(error).__name__}).",
        ) from error
    if tuple(map(str, found.digest)) != manifest.linear_digest:
        raise refused(DigestError, "The linear digest is not that of the vector.")
    return found


def refused(kind: type[QuarantinedError], facts: str) -> QuarantinedError:
    """The error of work that does not count. Texts are ours: a worker's own could say anything."""
    return kind(facts, remedy=_AGAIN)
