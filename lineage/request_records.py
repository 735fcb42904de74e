"""The rows of a request's process: decisions, deadlines, notices, holds, consents, copies."""

from typing import Literal

from lineage.records import ContributorKey, Record, Row, Sequence32, Sha256, Text
from lineage.times import Utc

Decision = Literal["approved", "rejected"]
DeadlineKind = Literal["acknowledge", "answer", "extended answer"]


class ApprovalRecord(Row):
    """One person's decision on a request, before anything that cannot be undone."""

    table = "opt_out_approval"
    key = ("request_id", "decision", "actor")
    again = "keep"

    request_id: Text
    decision: Decision
    actor: Text
    reason: Text
    decided_at: Utc


class DeadlineRecord(Row):
    """The last moment at which the law wants to see something done."""

    table = "opt_out_deadline"
    key = ("request_id", "kind")
    again = "keep"

    request_id: Text
    kind: DeadlineKind
    due_at: Utc


class NoticeRecord(Row):
    """What the person who withdraws was told."""

    table = "opt_out_notice"
    key = ("request_id", "kind")
    again = "keep"

    request_id: Text
    kind: Literal["acknowledged", "extended"]
    actor: Text
    reason: Text
    sent_at: Utc


class SetAsideRecord(Row):
    """A request that could not take a step while others went on: it is tried again."""

    table = "opt_out_set_aside"
    key = ("request_id", "set_aside_at")

    request_id: Text
    step: Text
    set_aside_at: Utc
    reason: Text
    remedy: Text


class HoldRecord(Row):
    """A contributor whose data must not be destroyed; it stands until it is released."""

    table = "legal_hold"
    key = ("contributor_key", "placed_at")

    contributor_key: ContributorKey
    placed_at: Utc
    placed_by: Text
    reason: Text
    released_at: Utc | None = None
    released_by: Text | None = None
    release_reason: Text | None = None


class ConsentRecord(Row):
    """New consent of a contributor who had opted out."""

    table = "consent"
    key = ("contributor_key", "given_at")

    contributor_key: ContributorKey
    given_at: Utc
    recorded_by: Text
    reference: Text


class LikenessRecord(Row):
    """What an erased id looked like, as a keyed hash."""

    table = "likeness"
    key = ("contributor_key", "likeness")

    contributor_key: ContributorKey
    likeness: ContributorKey


class DistinctionRecord(Row):
    """Two contributors whose ids look alike and who are two people."""

    table = "distinction"
    key = ("contributor_key", "other_key")
    again = "keep"

    contributor_key: ContributorKey
    other_key: ContributorKey
    said_by: Text
    said_at: Utc


class DisclosureRecord(Row):
    """A model that left the workspace and who received it."""

    table = "disclosure"
    key = ("disclosure_id",)

    disclosure_id: Text
    recipient: Text
    purpose: Text | None = None
    name: Text
    version: Sequence32
    contributor_key: ContributorKey | None = None
    weights_sha256: Sha256
    disclosed_at: Utc


class BackupRecord(Row):
    """A copy of the workspace that exists as far as we know, until it is destroyed."""

    table = "backup"
    key = ("backup_id",)

    backup_id: Text
    place: Text
    made_by: Text
    made_at: Utc
    destroyed_at: Utc | None = None
    destroyed_by: Text | None = None


class DeadlineStatus(Record):
    """How one deadline of a request stands now; `days_left` is below 0 once it has passed."""

    request_id: Text
    jurisdiction: Text | None
    kind: DeadlineKind
    due_at: Utc
    met_at: Utc | None
    days_left: int | None
    state: Literal["met", "late", "open", "overdue"]


REQUEST_ROWS: tuple[type[Row], ...] = (
    ApprovalRecord,
    DeadlineRecord,
    NoticeRecord,
    SetAsideRecord,
    HoldRecord,
    ConsentRecord,
    LikenessRecord,
    DistinctionRecord,
    DisclosureRecord,
    BackupRecord,
)
