"""What can be asked about the process of a request."""

from lineage.records import RequestRecord
from lineage.request_records import (
    ApprovalRecord,
    BackupRecord,
    ConsentRecord,
    DeadlineStatus,
    DisclosureRecord,
    DistinctionRecord,
    HoldRecord,
    LikenessRecord,
    NoticeRecord,
    SetAsideRecord,
)
from lineage.sql_files import Connection, records


class RequestReader:
    """Reads decisions, deadlines, notices, holds, consents, recipients and backups.

    It is `Reader.process`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def approvals(self, request_id: str) -> list[ApprovalRecord]:
        """Return what was decided on a request, oldest first."""
        return records(self._connection, ApprovalRecord, "approvals", request_id=request_id)

    def notices(self, request_id: str) -> list[NoticeRecord]:
        """Return what the person who withdraws was told, oldest first."""
        return records(self._connection, NoticeRecord, "notices", request_id=request_id)

    def set_asides(self, request_id: str | None = None) -> list[SetAsideRecord]:
        """Return each time that one request, or any, was set aside, oldest first."""
        return records(self._connection, SetAsideRecord, "set_asides", request_id=request_id)

    def standing_set_asides(self) -> dict[str, SetAsideRecord]:
        """Return why requests are set aside now: those that still stand before that step."""
        rows = records(self._connection, SetAsideRecord, "standing_set_asides")
        return {row.request_id: row for row in rows}

    def deadlines(self, request_id: str | None = None) -> list[DeadlineStatus]:
        """Return how the deadlines stand now, of one request or of all, the nearest first."""
        return records(self._connection, DeadlineStatus, "deadlines", request_id=request_id)

    def holds(self) -> list[HoldRecord]:
        """Return every legal hold, released ones included, oldest first."""
        return records(self._connection, HoldRecord, "holds")

    def standing_hold(self, contributor_key: str) -> HoldRecord | None:
        """Return the hold that keeps this contributor's data from being destroyed, if any."""
        standing = (row for row in self.holds() if row.released_at is None)
        return next((row for row in standing if row.contributor_key == contributor_key), None)

    def consents(self, contributor_key: str) -> list[ConsentRecord]:
        """Return the consents of a contributor who came back, oldest first."""
        return records(self._connection, ConsentRecord, "consents", contributor_key=contributor_key)

    def likenesses(self) -> list[LikenessRecord]:
        """Return what erased ids looked like, as keyed hashes."""
        return records(self._connection, LikenessRecord, "likenesses")

    def distinctions(self) -> list[DistinctionRecord]:
        """Return who looks like whom and is somebody else."""
        return records(self._connection, DistinctionRecord, "distinctions")

    def standing_requests(self, contributor_key: str) -> list[RequestRecord]:
        """Return the contributor's requests that bind, oldest first.

        One that was rejected or failed does not, nor one from before a newer consent.
        """
        return records(
            self._connection, RequestRecord, "standing_requests", contributor_key=contributor_key
        )

    def recipients(self, request_id: str) -> list[DisclosureRecord]:
        """Return whom to tell of a request: who received a model with what it withdraws in it.

        GDPR Art. 19. Oldest first; the same recipient may have received several.
        """
        return records(self._connection, DisclosureRecord, "recipients", request_id=request_id)

    def backups(self) -> list[BackupRecord]:
        """Return every backup that was made, destroyed ones included, oldest first."""
        return records(self._connection, BackupRecord, "backups")

    def backups_holding(self, request_id: str) -> list[BackupRecord]:
        """Return the backups that exist and hold what a request withdraws, oldest first."""
        return records(self._connection, BackupRecord, "backups_holding", request_id=request_id)
