"""What each step of a request found or made.

Lineage keeps it with the step; report, certificate and commands read it. docs/how-to/evidence.md
says how to read a report, which has most of these as its parts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from flows.errors import FlowError
from flows.models.checks import Verification
from lineage import StepRecord, opt_out
from lineage.records import Sha256

Values = dict[str, float]
"""Setting, split and metric, such as `masked.held_out.accuracy`, to what was measured."""


class StepResult(BaseModel):
    """Base of what a step leaves; numbers are exact, times UTC, contributors named by key."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NothingBuilt(StepResult):
    """The step had nothing to do: no merge state was ever made."""

    nothing_built: Literal[True] = True
    """Says so."""


class Basis(StepResult):
    """The right that the request rests on."""

    basis: str
    """Such as `gdpr-art-17`."""


class Found(StepResult):
    """Everything that lineage knew to be made from what is withdrawn: SHA-256 of each."""

    datasets: list[Sha256]
    """Dataset versions."""
    task_vectors: list[Sha256]
    """Of runs on them."""
    masks: list[Sha256]
    """Of those vectors."""
    merge_states: list[Sha256]
    """That a vector was in."""
    model_versions: list[int]
    """That served one of those states."""


class DoneAgain(StepResult):
    """The request that a restored backup had undone, and the audit log's last entry of then."""

    request: str
    """Its number."""
    audit_entry: int
    """The number of that entry."""


class Approval(StepResult):
    """Who approved what cannot be undone, in order."""

    approved_by: list[str]
    """Names as they were given."""
    again: DoneAgain | None = None
    """Set where a restored backup made it necessary."""


class Removal(StepResult):
    """The subtraction. Where it was no member, the state alone, and null where none was built.

    Linear digests are decimal texts, one per lane: before + change = after, modulo 2^64.
    """

    was_member: bool
    """Whether it was in the merge."""
    vector: Literal["stored", "derived again", "lost"] | None = None
    """What was subtracted; `lost`: nothing, who stays was added up afresh, to the same bytes."""
    requests: list[str] = []
    """All that were carried out together."""
    state_before: Sha256 | None = None
    """The merge state before."""
    state_after: Sha256 | None = None
    """The one after."""
    members_before: int | None = None
    """How many were in it."""
    members_after: int | None = None
    """How many are."""
    digest_before: list[str] = []
    """Linear digest before."""
    digest_of_change: list[str] = []
    """What was added: the negative of what was taken out."""
    digest_after: list[str] = []
    """Linear digest after."""


class Probe(StepResult):
    """One question put to both models: the mean over `points`, or a curve step by step."""

    name: str
    """Which question."""
    points: int
    """How many were measured."""
    model: float | list[float]
    """The new model."""
    reference: float | list[float]
    """The one that never saw it."""
    difference: float
    """The largest over all points, up or down; a probe that failed stops the request."""
    passed: bool
    """Whether the difference is within the tolerance."""


class LeftOut(StepResult):
    """What a probe could not ask, and why: such rows never stop a removal that bits have shown."""

    probe: str
    """Which probe."""
    rows: int
    """How many rows it could not ask about."""
    because: str
    """Why."""


class Audit(StepResult):
    """What left, asked of the new model and of the reference; or why it was not asked."""

    refused: str | None = None
    """Why nothing was asked; null: it was."""
    compared: str | None = None
    """What the new model was compared with."""
    tolerance: float | None = None
    """The difference that is allowed."""
    passed: bool | None = None
    """Whether every probe passed."""
    probes: list[Probe] = []
    """Each question."""
    left_out: list[LeftOut] = []
    """What could not be asked."""


class Sides(StepResult):
    """The same measurements before and after."""

    before: Values
    """Of the version before."""
    after: Values
    """Of the new one."""


class Quality(StepResult):
    """Of whom the request is about, and of everyone who stays."""

    contributor: Sides
    """Of what was withdrawn."""
    retained: Sides
    """The mean over everyone who stays."""


class Evaluated(Quality):
    """What was measured of both models, and what the audit of the removal found."""

    audit: Audit
    """What left, asked of both."""


class Registered(StepResult):
    """The version that serves from now on."""

    model: str
    """The registered model."""
    version: int
    """Its number."""
    served_sha256: Sha256
    """Digest of the weights it serves to anyone."""
    members_sha256: Sha256
    """Digest of the weights it serves to members, each under their mask."""
    state_sha256: Sha256
    """The merge state they are of."""


class Purge(StepResult):
    """The commit without what was withdrawn, and content that stays, by MD5: others gave it too."""

    commit: str | None
    """The git commit; null: there was nothing to commit."""
    kept_because_shared: list[str]
    """MD5 of content that stays."""


class Certified(StepResult):
    """Where the report is, and the certificate that signs it: its number and SHA-256."""

    folder: str
    """Where the files lie."""
    certificate: Sha256
    """SHA-256 of the certificate."""
    sequence: int
    """Its number."""


RESULTS: dict[str, tuple[type[BaseModel], ...]] = {
    "received": (Basis,),
    "identified": (Found,),
    "approved": (Approval,),
    "removed": (Removal,),
    "verified": (Verification, NothingBuilt),
    "evaluated": (Evaluated, NothingBuilt),
    "registered": (Registered, NothingBuilt),
    "purged": (Purge,),
    "reported": (Certified,),
}
"""What each step leaves."""
if tuple(RESULTS) != opt_out.STEPS:
    raise AssertionError(f"{list(RESULTS)} are not the steps of an opt-out, {opt_out.STEPS}")

Kind = TypeVar("Kind", bound=BaseModel)


class NotThereYetError(FlowError):
    """A step is asked for what it found or made, and is not done."""


@dataclass(frozen=True)
class Results:
    """What the steps of one request have left so far."""

    request_id: str
    all: dict[str, BaseModel]

    @classmethod
    def of(cls, request_id: str, steps: Iterable[StepRecord]) -> "Results":
        """What these steps left. Steps that end a request unfulfilled leave a reason alone."""
        read = {step.step: _read(step) for step in steps if step.step in RESULTS}
        return cls(request_id, read)

    def get(self, kind: type[Kind]) -> Kind | None:
        """What there is of this kind; None where its step is not done, or had nothing to do."""
        return next((one for one in self.all.values() if isinstance(one, kind)), None)

    def need(self, kind: type[Kind]) -> Kind:
        """What there is of this kind. Raises NotThereYetError."""
        if (found := self.get(kind)) is not None:
            return found
        raise NotThereYetError(
            f"{self.request_id} has no {kind.__name__.lower()} yet.",
            remedy=f"run it: `sift opt-out run {self.request_id}`.",
        )


def as_details(result: BaseModel) -> dict[str, Any]:
    """What lineage keeps of a result: what was not set is left out."""
    return result.model_dump(mode="json", exclude_unset=True)


def _read(step: StepRecord) -> BaseModel:
    kinds = RESULTS[step.step]
    return next(kind for kind in kinds if _fits(kind, step)).model_validate(step.details)


def _fits(kind: type[BaseModel], step: StepRecord) -> bool:
    return (kind is NothingBuilt) == ("nothing_built" in step.details)
