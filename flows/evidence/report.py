"""The compliance report as types: what `report.json` holds, and its published JSON Schema.

docs/schemas/opt-out-report-2.schema.json is made of these classes; docs/how-to/evidence.md says how
to read a report. What the steps left (`flows.erasure.results`) is in it as they left it. The
contributor is named by keyed hash alone. Times are UTC.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from flows.erasure.results import Audit, Found, Quality, Registered, Removal
from flows.models.checks import Verification
from lineage.records import ContributorKey, Sha256
from lineage.times import Utc

FORMAT: Final = "opt-out-report/2"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Moment(_Part):
    """A step and when it was done."""

    step: str
    """A step of the request."""
    at: Utc
    """When it was done."""


class Deadline(_Part):
    """By when the law asks for what, and whether it was done by then."""

    law: str | None
    """The law that asks; null: none was named."""
    kind: str
    """What is due."""
    due_at: Utc
    """By when."""
    met_at: Utc | None
    """When it was done; null: not yet."""
    state: str
    """How it stood when the report was written."""


class Decision(_Part):
    """What one person decided on the request, before anything that cannot be undone."""

    decision: str
    """What was decided."""
    actor: str
    """Who decided, by the name they gave."""
    reason: str
    """Why, in their words."""
    decided_at: Utc
    """When."""


class Recipient(_Part):
    """Who received a model that held what is withdrawn, and has to be told (GDPR Art. 19)."""

    recipient: str
    """Who received it."""
    purpose: str | None
    """For what; null: not recorded."""
    model: str
    """The registered model."""
    version: int
    """Its version."""
    disclosed_at: Utc
    """When they received it."""


class Server(_Part):
    """A server of this workspace that answered with a model that held what is withdrawn."""

    server: str
    """Where it answers, `host:port`."""
    held: int
    """The last version with it that the server took."""
    version: int | None
    """The version without it that the server took; null: none yet, and it still runs."""
    taken_at: Utc | None
    """From when on it answered by that; null: not yet."""


class Comparison(_Part):
    """The new model against the one that never saw what was withdrawn, both ways.

    `reference_sha256` is the merge rebuilt from who stays alone; null where it was derived and not
    rebuilt, so that nothing was compared.
    """

    state_sha256: Sha256
    """The merge that the removal left."""
    reference_sha256: Sha256 | None
    """The merge of those who stay, made afresh; null: not compared."""
    same_bytes: bool | None
    """Whether the two are one file; null: not compared."""
    difference: float | None
    """The largest difference of any quality, up or down: 0 where the bytes are the same."""


class Destroyed(_Part):
    """One object that was destroyed, and when it was looked for again and not found."""

    place: str
    """Which erasure target held it."""
    kind: str
    """What it was."""
    locator: str
    """Where it lay there."""
    bytes: int | None
    """Its size; null: not known."""
    destroyed_at: Utc | None
    """When it was destroyed; null: pending."""
    absent_at: Utc | None
    """When it was looked for again and not found; null: pending."""


class Dropped(_Part):
    """A task vector that was deleted once merged, since the workspace keeps masks only."""

    vector_sha256: Sha256
    """The file of the vector."""
    at: Utc
    """When it was deleted."""


class Report(_Part):
    """The report of one opt-out request that was carried out."""

    format: Literal["opt-out-report/2"] = FORMAT
    """This form."""
    request_id: str
    """Such as `opt-out-0001`."""
    contributor_key: ContributorKey
    """Keyed hash of the id that came with the request."""
    records: Annotated[int, Field(ge=1)] | None
    """How many records were withdrawn; null: the contributor with all data."""
    basis: str
    """The right that the request rests on."""
    received_at: Utc
    """When the request was received."""
    written_at: Utc
    """When this report was written."""
    model: str
    """The registered model."""
    verdict: str
    """One sentence, with how many checks passed."""
    timeline: list[Moment]
    """Each step, in order."""
    deadlines: list[Deadline] | None
    """Null where the workspace keeps none."""
    approval: list[Decision] | None
    """Null where the workspace asks for none."""
    servers: list[Server]
    """Servers that `sift serve` runs or ran, and that answered with it; those that ended before
    they took another version are left out."""
    recipients: list[Recipient] | None
    """Null where the workspace keeps no record of them."""
    found: Found
    """What lineage knew to be made from what is withdrawn."""
    removal: Removal
    """The subtraction."""
    verification: Verification | None
    """Null where nothing had been built."""
    comparison: Comparison | None
    """Beside a model that never saw it; null where nothing had been built."""
    audit: Audit | None
    """Null where nothing had been built."""
    quality: Quality | None
    """Measurements before and after; null where nothing had been built."""
    registered: Registered | None
    """The version that serves from now on; null where nothing had been built."""
    destroyed: list[Destroyed]
    """Object by object."""
    kept_because_shared: list[str]
    """MD5 of content that others gave as well, and that stays for them."""
    not_kept_after_merge: list[Dropped]
    """Vectors that were deleted once merged."""
    claimed: list[str]
    """What this report says."""
    not_claimed: list[str]
    """What it does not say."""
    repeat: list[str]
    """Commands that compute the checks again."""
