"""What may be written about the process of a request."""

from collections.abc import Iterable
from datetime import datetime

from lineage import opt_out
from lineage.audit.log import AuditedConnection
from lineage.errors import LineageConflictError, LineageNotFoundError
from lineage.inserts import add_row
from lineage.reader import Reader
from lineage.request_records import (
    ApprovalRecord,
    BackupRecord,
    ConsentRecord,
    DeadlineKind,
    DeadlineRecord,
    Decision,
    DisclosureRecord,
    HoldRecord,
    NoticeRecord,
    SetAsideRecord,
)
from lineage.sql_files import query, run


class RequestRecorder:
    """Writes decisions, deadlines, notices, holds, consents, recipients and backups.

    It is `Recorder.process`; `read` sees what the transaction has written so far.
    """

    def __init__(self, connection: AuditedConnection, read: Reader) -> None:
        self._connection = connection
        self._read = read

    def decide(
        self, request_id: str, decision: Decision, actor: str, reason: str, at: datetime
    ) -> bool:
        """Record one person's decision; False if they had decided so already.

        Whether the person may decide is policy, and the caller's to check. Raises
        OptOutOrderError for a request that has ended, or a rejection of what is removed already.
        """
        self._read.request(request_id)
        done = [recorded.step for recorded in self._read.steps(request_id)]
        opt_out.require_decidable(request_id, done, decision)
        return add_row(
            self._connection,
            ApprovalRecord(
                request_id=request_id,
                decision=decision,
                actor=actor,
                reason=reason,
                decided_at=at,
            ),
        )

    def set_deadlines(
        self, request_id: str, deadlines: Iterable[tuple[DeadlineKind, datetime]]
    ) -> None:
        """Fix by when what is due; a deadline that is set already stays."""
        self._read.request(request_id)
        for kind, due_at in deadlines:
            add_row(
                self._connection, DeadlineRecord(request_id=request_id, kind=kind, due_at=due_at)
            )

    def notify(self, notice: NoticeRecord) -> bool:
        """Record what the person who withdraws was told; False if they were told already."""
        self._read.request(notice.request_id)
        return add_row(self._connection, notice)

    def set_aside(self, request_id: str, step: str, reason: str, remedy: str, at: datetime) -> bool:
        """Record that a request could not take its next step; False if it stands aside for that.

        It does not end by this. Raises OptOutOrderError for another step than its next one.
        """
        done = [recorded.step for recorded in self._read.steps(request_id)]
        opt_out.require_upcoming(request_id, done, step)
        standing = self._read.process.standing_set_asides().get(request_id)
        if standing is not None and (standing.reason, standing.remedy) == (reason, remedy):
            return False
        return add_row(
            self._connection,
            SetAsideRecord(
                request_id=request_id, step=step, set_aside_at=at, reason=reason, remedy=remedy
            ),
        )

    def place_hold(self, contributor_key: str, actor: str, reason: str, at: datetime) -> HoldRecord:
        """Forbid to destroy a contributor's data. Raises LineageConflictError while one stands."""
        self._read.contributor(contributor_key)
        if standing := self._read.process.standing_hold(contributor_key):
            raise LineageConflictError(
                f"contributor {contributor_key} is on hold since {standing.placed_at}.",
                remedy="release that hold first: sift opt-out release.",
            )
        hold = HoldRecord(
            contributor_key=contributor_key, placed_at=at, placed_by=actor, reason=reason
        )
        add_row(self._connection, hold)
        return hold

    def release_hold(self, contributor_key: str, actor: str, reason: str, at: datetime) -> None:
        """End the hold that stands. Raises LineageNotFoundError where none does."""
        values = {"contributor_key": contributor_key, "actor": actor, "reason": reason, "at": at}
        if not self._connection.update("legal_hold", query("release_hold"), **values):
            raise LineageNotFoundError(
                f"contributor {contributor_key} is not on hold.",
                remedy="see who is: sift opt-out status.",
            )

    def consent(self, contributor_key: str, actor: str, reference: str, at: datetime) -> None:
        """Record that a contributor who had opted out comes back by new consent."""
        add_row(
            self._connection,
            ConsentRecord(
                contributor_key=contributor_key,
                given_at=at,
                recorded_by=actor,
                reference=reference,
            ),
        )

    def disclose(
        self,
        *,
        recipient: str,
        purpose: str | None,
        name: str,
        version: int,
        contributor_key: str | None,
        weights_sha256: str,
        at: datetime,
    ) -> DisclosureRecord:
        """Note that a model version leaves the workspace, and who receives it."""
        number = run(self._connection, "last_disclosure_number")[0]["number"] + 1
        disclosure = DisclosureRecord(
            disclosure_id=f"disclosure-{number:04d}",
            recipient=recipient,
            purpose=purpose,
            name=name,
            version=version,
            contributor_key=contributor_key,
            weights_sha256=weights_sha256,
            disclosed_at=at,
        )
        add_row(self._connection, disclosure)
        return disclosure

    def note_backup(self, place: str, actor: str, at: datetime) -> BackupRecord:
        """Note that a copy of the workspace is being made, before its first byte is written."""
        number = run(self._connection, "last_backup_number")[0]["number"] + 1
        backup = BackupRecord(
            backup_id=f"backup-{number:04d}", place=place, made_by=actor, made_at=at
        )
        add_row(self._connection, backup)
        return backup

    def mark_backup_destroyed(self, backup_id: str, actor: str, at: datetime) -> None:
        """Say that a backup is gone. Raises LineageNotFoundError where none such exists."""
        values = {"backup_id": backup_id, "actor": actor, "at": at}
        if not self._connection.update("backup", query("destroy_backup"), **values):
            raise LineageNotFoundError(
                f"there is no backup {backup_id}, or it was destroyed already.",
                remedy="see which there are: sift backup list.",
            )
