"""What is said to a worker and what it says back, as versioned forms (docs/schemas).

Both lie in the staging area of the remote, not in Prefect's store: what names a contributor's data
is destroyed with that data. A manifest comes from a machine nobody trusts, so every field is what
was assigned, a digest of bytes that are looked at, a word of a closed list or a coarse number: what
lineage keeps for ever holds no text of a worker's.
"""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    TypeAdapter,
)

import sift_core
from flows.workspace.settings import MethodSettings
from lineage.records import ContributorKey, DecimalDigest, Sha256

MANIFEST_BYTES = 64 * 1024
"""No manifest is longer."""

_Bytes = Annotated[int, Field(ge=0, lt=2**48)]

LOSS_LIMIT, LOSS_DIGITS = 100.0, 2
"""Losses are said to two digits up to a hundred: 14 bits, enough to see that a training learned."""


def coarse(loss: float) -> float:
    """A loss as a manifest says it."""
    return round(min(max(loss, 0.0), LOSS_LIMIT), LOSS_DIGITS)


def _coarse(loss: float) -> float:
    if loss != coarse(loss) or str(loss) == "-0.0":
        raise ValueError("is finer than a loss is said")
    return loss


def _known_error(name: str) -> str:
    if name not in ERRORS:
        raise ValueError("is none of our errors")
    return name


def _names(kind: type[sift_core.SiftCoreError]) -> set[str]:
    return {kind.__name__}.union(*map(_names, kind.__subclasses__()))


ERRORS = sorted(_names(sift_core.SiftCoreError))
"""The names of all that a finetuning can raise of ours."""
_Loss = Annotated[FiniteFloat, Field(ge=0, le=LOSS_LIMIT), AfterValidator(_coarse)]
_Error = Annotated[str, AfterValidator(_known_error), Field(json_schema_extra={"enum": ERRORS})]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BaseFile(_Form):
    """A file of the base model, by its path below the model's folder."""

    name: Annotated[str, StringConstraints(pattern=r"^[^/\\\x00]+(/[^/\\\x00]+)*$", max_length=500)]
    bytes: _Bytes


class Task(_Form):
    """One contributor to finetune: which run it is, and which rows."""

    contributor_key: ContributorKey
    run_id: Sha256
    dataset_sha256: Sha256
    dataset_bytes: _Bytes


class Assignment(_Form):
    """A shard as a worker is given it."""

    format: Literal["sift-assignment/1"] = "sift-assignment/1"
    base_id: Sha256
    base_files: tuple[BaseFile, ...]
    method: MethodSettings
    tasks: tuple[Task, ...]
    machines: tuple[Sha256, ...]
    """Ids of the machines whose results count: a worker on another one does not begin."""


class Stored(_Form):
    """An object in the staging area: its content and size in bytes."""

    sha256: Sha256
    bytes: _Bytes


class Finished(_Form):
    """A finetuning that a worker says it has done."""

    format: Literal["sift-manifest/1"] = "sift-manifest/1"
    outcome: Literal["finished"] = "finished"
    contributor_key: ContributorKey
    run_id: Sha256
    dataset_sha256: Sha256
    base_id: Sha256
    vector: Stored
    mask: Stored
    linear_digest: DecimalDigest
    first_loss: _Loss
    last_loss: _Loss
    machine: Sha256
    """The id of a machine that the operator has admitted."""


class Failed(_Form):
    """A finetuning that a worker says it cannot do; `error` is the name of our own error, no more.

    An error's text could hold anything that a worker has seen.
    """

    format: Literal["sift-manifest/1"] = "sift-manifest/1"
    outcome: Literal["failed"] = "failed"
    contributor_key: ContributorKey
    run_id: Sha256
    error: _Error


Manifest = Annotated[Finished | Failed, Field(discriminator="outcome")]
MANIFEST: TypeAdapter[Finished | Failed] = TypeAdapter(Manifest)
"""Reads and describes a manifest."""
