"""The forms of the deployments in the Prefect UI: what may be asked for, in which bounds.

Prefect makes each form from these models, and refuses what does not fit before a run is made: what
it refuses, it does not store. No field takes a contributor's id, since Prefect's store is not ours
to erase from; a contributor is named by key, or by the number of a request that was filed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from flows.workspace.here import policy_here
from flows.workspace.identity import KEY_LENGTH
from flows.workspace.texts import MAX_NAME_LENGTH
from lineage.times import Day

if TYPE_CHECKING:
    from flows.models.verify import Way

RequestNumber = Annotated[str, Field(pattern=r"^opt-out-[0-9]{4,9}$")]
RecordHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
AS_THE_BASIS_SAYS = "as the basis says"


def bases() -> list[str]:
    """The rights that a request may rest on, as `policy.bases` has them."""
    return list(policy_here().bases)


def laws() -> list[str]:
    """The laws whose deadlines may count, as `policy.jurisdictions` has them."""
    return [AS_THE_BASIS_SAYS, *policy_here().jurisdictions]


@dataclass(frozen=True)
class OneOf:
    """Marks a text that is one of these choices: asked for whenever a form is made or checked."""

    choices: Callable[[], list[str]]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "enum": self.choices()}

    def _known(self, text: str) -> str:
        if text not in self.choices():
            raise ValueError(f"{text!r} is none of {', '.join(self.choices())}")
        return text


def _one_of(choices: Callable[[], list[str]], *, title: str, description: str) -> Any:
    """A field that offers the first choice where nothing was chosen."""

    def offered(schema: dict[str, Any]) -> None:
        schema["default"] = choices()[0]

    return Field(
        default_factory=lambda: choices()[0],
        json_schema_extra=offered,
        title=title,
        description=description,
    )


Basis = Annotated[str, OneOf(bases)]
Law = Annotated[str, OneOf(laws)]
MergeCheck = Literal[
    "as verify in params.yaml says", "rebuild from stored vectors", "finetune everybody again"
]
AS_SET, REBUILD, FINETUNE_AGAIN = get_args(MergeCheck)
WAYS: "dict[MergeCheck, Way]" = {
    AS_SET: "as set",
    REBUILD: "rebuild",
    FINETUNE_AGAIN: "finetune again",
}


class Form(BaseModel):
    """Base of all forms: these fields, and no others."""

    model_config = ConfigDict(extra="forbid")


class BuildForm(Form):
    """How a build is checked."""

    exactness: MergeCheck = Field(
        default=AS_SET,
        description="What the merge is held against before anything is registered. Finetuning "
        "everybody again takes as long as a first build.",
    )


class OptOutForm(Form):
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
    basis: Basis = _one_of(
        bases,
        title="New request: basis",
        description="The right that it rests on; policy.bases in params.yaml has the list.",
    )
    law: Law = _one_of(
        laws,
        title="New request: law",
        description="Whose deadlines count; policy.jurisdictions in params.yaml has the list.",
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


class ProcessForm(Form):
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


class DeadlinesForm(Form):
    """When a deadline alarms."""

    due_soon_days: int | None = Field(
        default=None,
        ge=0,
        le=365,
        description="Alarm from so many days before it; empty: as params.yaml says.",
    )
