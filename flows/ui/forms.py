"""The forms of the deployments in the Prefect UI: what may be asked for, in which bounds.

Prefect makes each form from these models, and refuses what does not fit before a run is made: what
it refuses, it does not store. No field takes a contributor's id, since Prefect's store is not ours
to erase from; a contributor is named by key, or by the number of a request that was filed.
"""

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from flows.evidence.audit_checks import CHECKS
from flows.workspace.identity import KEY_LENGTH
from flows.workspace.texts import MAX_NAME_LENGTH
from lineage.times import Day

RequestNumber = Annotated[str, Field(pattern=r"^opt-out-[0-9]{4,9}$")]
RecordHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Basis = Literal["gdpr-art-17", "gdpr-art-7", "gdpr-art-21", "ccpa-1798.105", "contract"]
Law = Literal["as the basis says", "gdpr", "ccpa"]
MergeCheck = Literal["rebuild from stored vectors", "finetune everybody again"]
REBUILD, FINETUNE_AGAIN = get_args(MergeCheck)


def _known(name: str) -> str:
    if name not in CHECKS:
        raise ValueError(f"{name!r} is none of {', '.join(CHECKS)}")
    return name


CheckName = Annotated[
    str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(CHECKS)})
]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BuildForm(_Form):
    """How a build is checked."""

    exactness: MergeCheck = Field(
        default=REBUILD,
        description="What the merge is held against before anything is registered. Finetuning "
        "everybody again takes as long as a first build.",
    )


class OptOutForm(_Form):
    """Requests that were filed, or one to file now. With neither: every open request."""

    requests: list[RequestNumber] = Field(
        default=[],
        title="Requests that were filed",
        description="Their numbers, such as opt-out-0003. Leave empty to file one below.",
        max_length=100_000,
    )
    ask_for_approval: bool = Field(
        default=True,
        description="Pause with a form for each request that is not approved yet. Without it, such "
        "a request is refused where it was named, and left for later where none was.",
    )
    contributor_key: str = Field(
        default="",
        title="New request: contributor key",
        description=f"{KEY_LENGTH} hexadecimal digits, from `sift contributors list`. Never the "
        "contributor's id: it would stay in Prefect's store.",
        pattern=rf"^([0-9a-f]{{{KEY_LENGTH}}})?$",
    )
    basis: Basis = Field(
        default="gdpr-art-17", title="New request: basis", description="The right that it rests on."
    )
    law: Law = Field(
        default="as the basis says",
        title="New request: law",
        description="Whose deadlines count. Others than these: `sift opt-out request`.",
    )
    received_on: Day | None = Field(
        default=None,
        title="New request: received on",
        description="The day it came in, of the zone that policy.time_zone in params.yaml names; "
        "empty: now. Deadlines count from here.",
    )
    records: list[RecordHash] = Field(
        default=[],
        title="New request: only these records",
        description="Their hashes, from `sift contributors records`. Empty: everything.",
        max_length=10_000,
    )
    filed_by: str = Field(
        default="",
        title="New request: your name",
        description="Who files it. Not the contributor's name; empty: the worker's login name.",
        max_length=MAX_NAME_LENGTH,
    )


class ProcessForm(_Form):
    """How many requests are honoured in one run."""

    at_most: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="So many, the oldest first; the rest wait for the next.",
    )
    only_show: bool = Field(
        default=False, description="Show what would be honoured, and change nothing."
    )


class AuditForm(_Form):
    """What is looked at."""

    checks: list[CheckName] = Field(
        default=list(CHECKS),
        min_length=1,
        description="All by default; `exactness` rebuilds the merge and takes longest.",
    )


class DeadlinesForm(_Form):
    """When a deadline alarms."""

    due_soon_days: int | None = Field(
        default=None,
        ge=0,
        le=365,
        description="Alarm from so many days before it; empty: as params.yaml says.",
    )
