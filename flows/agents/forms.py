"""What is said to an agent and what it says back, as versioned forms (docs/schemas).

Both lie in the staging area of the remote, not in Prefect's store: what names a contributor's data
is destroyed with that data. A manifest comes from a machine nobody trusts, so every field is
bounded and none is free text.
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

from flows.settings import MethodSettings
from lineage.records import ContributorKey, DecimalDigest, Sha256

MANIFEST_BYTES = 64 * 1024
"""No manifest is longer."""

_Bytes = Annotated[int, Field(ge=0, lt=2**48)]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a character that does not print")
    return text


_Fact = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]


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
    """A shard as an agent is given it."""

    format: Literal["sift-assignment/1"] = "sift-assignment/1"
    base_id: Sha256
    base_files: tuple[BaseFile, ...]
    method: MethodSettings
    tasks: tuple[Task, ...]


class Stored(_Form):
    """An object in the staging area: its content and size in bytes."""

    sha256: Sha256
    bytes: _Bytes


class Surroundings(_Form):
    """Software and machine of a finetuning, as its agent says."""

    code_version: _Fact
    python: _Fact
    platform: _Fact
    device: _Fact
    threads: Annotated[int, Field(ge=1, lt=2**16)]
    packages: Annotated[dict[_Fact, _Fact], Field(max_length=50)]


class Finished(_Form):
    """A finetuning that an agent says it has done."""

    format: Literal["sift-manifest/1"] = "sift-manifest/1"
    outcome: Literal["finished"] = "finished"
    contributor_key: ContributorKey
    run_id: Sha256
    dataset_sha256: Sha256
    base_id: Sha256
    vector: Stored
    mask: Stored
    linear_digest: DecimalDigest
    first_loss: FiniteFloat
    last_loss: FiniteFloat
    seconds: Annotated[FiniteFloat, Field(ge=0, le=1e8)]
    surroundings: Surroundings


class Failed(_Form):
    """A finetuning that an agent says it cannot do; `error` is the name of our own error, no more.

    An error's text could hold anything that an agent has seen.
    """

    format: Literal["sift-manifest/1"] = "sift-manifest/1"
    outcome: Literal["failed"] = "failed"
    contributor_key: ContributorKey
    run_id: Sha256
    error: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{1,80}$")]


Manifest = Annotated[Finished | Failed, Field(discriminator="outcome")]
MANIFEST: TypeAdapter[Finished | Failed] = TypeAdapter(Manifest)
"""Reads and describes a manifest."""
