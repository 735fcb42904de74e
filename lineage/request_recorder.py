"""What may be written about the process of a request: the second half of `lineage.Recorder`."""

from abc import abstractmethod
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from lineage import opt_out
from lineage.errors import LineageConflictError, LineageNotFoundError
from lineage.reader import Reader
from lineage.records import Row
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


class RequestRecorder:
    """Decisions, deadlines, notices, holds, consents, recipients and backups."""

    read: Reader

    @abstractmethod
    def add(self, record: Row) -> bool:
        """Add one record; return False if the store has it already."""

    @abstractmethod
    def _run(self, name: str, /, **values: object) -> list[dict[str, Any]]:
        """Run a named query."""

    def decide(
        self, request_id: str, decision: Decision, actor: str, reason: str, at: datetime
    ) -> bool:
        """Record one person's decision; False if they had decided so already.

        Whether the person may decide is policy, and the caller's to check. Raises
        OptOutOrderError for a request that has ended, or a rejection of what is removed already.
        """
        self.read.request(request_id)
        done = [recorded.step for recorded in self.read.steps(request_id)]
        opt_out.require_decidable(request_id, done, decision)
        return self.add(
            ApprovalRecord(
                request_id=request_id,
                decision=decision,
                actor=actor,
                reason=reason,
                decided_at=at,
            )
        )

    def set_deadlines(
        self, request_id: str, deadlines: Iterable[tuple[DeadlineKind, datetime]]
    ) -> None:
        """Fix by when what is due; a deadline that is set already stays."""
        self.read.request(request_id)
        for kind, due_at in deadlines:
            self.add(DeadlineRecord(request_id=request_id, kind=kind, due_at=due_at))

    def notify(self, notice: NoticeRecord) -> bool:
        """Record what the person who withdraws was told; False if they were told already."""
        self.read.request(notice.request_id)
        return self.add(notice)

    def set_aside(self, request_id: str, step: str, reason: str, remedy: str, at: datetime) -> bool:
        """Record that a request could not take its next step; False if it stands aside for that.

        It does not end by this. Raises OptOutOrderError for another step than its next one.
        """
        done = [recorded.step for recorded in self.read.steps(request_id)]
        opt_out.require_upcoming(request_id, done, step)
        standing = self.read.standing_set_asides().get(request_id)
        if standing is not None and (standing.reason, standing.remedy) == (reason, remedy):
            return False
        return self.add(
            SetAsideRecord(
                request_id=request_id, step=step, set_aside_at=at, reason=reason, remedy=remedy
            )
        )

    def place_hold(self, contributor_key: str, actor: str, reason: str, at: datetime) -> HoldRecord:
        """Forbid to destroy a contributor's data. Raises LineageConflictError while one stands."""
        self.read.contributor(contributor_key)
        if standing := self.read.standing_hold(contributor_key):
            raise LineageConflictError(
                f"contributor {contributor_key} is on hold since {standing.placed_at}.",
                remedy="release that hold first: sift opt-out release.",
            )
        hold = HoldRecord(
            contributor_key=contributor_key, placed_at=at, placed_by=actor, reason=reason
        )
        self.add(hold)
        return hold

    def release_hold(self, contributor_key: str, actor: str, reason: str, at: datetime) -> None:
        """End the hold that stands. Raises LineageNotFoundError where none does."""
        values = {"contributor_key": contributor_key, "actor": actor, "reason": reason, "at": at}
        if not self._run("release_hold", **values):
            raise LineageNotFoundError(
                f"contributor {contributor_key} is not on hold.",
                remedy="see who is: sift opt-out status.",
            )

    def consent(self, contributor_key: str, actor: str, reference: str, at: datetime) -> None:
        """Record that a contributor who had opted out comes back by new consent."""
        self.add(
            ConsentRecord(
                contributor_key=contributor_key,
                given_at=at,
                recorded_by=actor,
                reference=reference,
            )
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
        number = self._run("last_disclosure_number")[0]["number"] + 1
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
        self.add(disclosure)
        return disclosure

    def note_backup(self, place: str, actor: str, at: datetime) -> BackupRecord:
        """Note that a copy of the workspace is being made, before its first byte is written."""
        number = self._run("last_backup_number")[0]["number"] + 1
        backup = BackupRecord(
            backup_id=f"backup-{number:04d}", place=place, made_by=actor, made_at=at
        )
        self.add(backup)
        return backup

    def mark_backup_destroyed(self, backup_id: str, actor: str, at: datetime) -> None:
        """Say that a backup is gone. Raises LineageNotFoundError where none such exists."""
        if not self._run("destroy_backup", backup_id=backup_id, actor=actor, at=at):
            raise LineageNotFoundError(
                f"there is no backup {backup_id}, or it was destroyed already.",
                remedy="see which there are: sift backup list.",
            )
