"""The compliance report as types: what `report.json` holds, and its published JSON Schema.

docs/schemas/opt-out-report-2.schema.json is made of these classes; docs/evidence.md says how to
read a report. What the steps left (`flows.erasure.results`) is in it as they left it. The
contributor is named by keyed hash alone. Times are UTC.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from flows.erasure.results import Audit, Found, Quality, Registered, Removal
from flows.models.verify import Verification
from lineage.records import ContributorKey, Sha256
from lineage.times import Utc

FORMAT: Final = "opt-out-report/2"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Moment(_Part):
    """A step and when it was done."""

    step: str
    at: Utc


class Deadline(_Part):
    """By when the law asks for what, and whether it was done by then."""

    law: str | None
    kind: str
    due_at: Utc
    met_at: Utc | None
    standing: str


class Decision(_Part):
    """What one person decided on the request, before anything that cannot be undone."""

    decision: str
    actor: str
    reason: str
    decided_at: Utc


class Recipient(_Part):
    """Who received a model that held what is withdrawn, and has to be told (GDPR Art. 19)."""

    recipient: str
    purpose: str | None
    model: str
    version: int
    disclosed_at: Utc


class Comparison(_Part):
    """The new model against the one that never saw what was withdrawn, both ways.

    `reference_sha256` is the merge rebuilt from who stays alone; null where vectors are not kept,
    so that nothing was compared.
    """

    state_sha256: Sha256
    reference_sha256: Sha256 | None
    same_bytes: bool | None
    difference: float | None
    """The largest difference of any quality, up or down: 0 where the bytes are the same."""


class Destroyed(_Part):
    """One object that was destroyed, and when it was looked for again and not found."""

    place: str
    kind: str
    locator: str
    bytes: int | None
    destroyed_at: Utc | None
    absent_at: Utc | None


class Dropped(_Part):
    """A task vector that was deleted once merged, since the workspace keeps masks only."""

    vector_sha256: Sha256
    at: Utc


class Report(_Part):
    """The report of one opt-out request that was carried out."""

    format: Literal["opt-out-report/2"] = FORMAT
    request_id: str
    contributor_key: ContributorKey
    records: Annotated[int, Field(ge=1)] | None
    """How many records were withdrawn; null: the contributor with all data."""
    basis: str
    received_at: Utc
    written_at: Utc
    model: str
    verdict: str
    timeline: list[Moment]
    deadlines: list[Deadline] | None
    """Null where the workspace keeps none."""
    approval: list[Decision] | None
    """Null where the workspace asks for none."""
    recipients: list[Recipient] | None
    """Null where the workspace keeps no record of them."""
    found: Found
    removal: Removal
    verification: Verification | None
    """Null where nothing had been built."""
    comparison: Comparison | None
    audit: Audit | None
    """Null where nothing had been built."""
    quality: Quality | None
    registered: Registered | None
    destroyed: list[Destroyed]
    kept_because_shared: list[str]
    not_kept_after_merge: list[Dropped]
    claimed: list[str]
    not_claimed: list[str]
    repeat: list[str]
