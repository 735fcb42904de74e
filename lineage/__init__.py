"""What came from whom: the lineage store, its records and its errors.

    store = LineageStore(workspace / "lineage.duckdb")
    store.migrate()
    with store.writer() as recorder:   # one transaction
        recorder.add(Contributor(...))
    with store.reader() as reader:     # read-only
        reader.impact(contributor_key)

Knows nothing of torch, Prefect, DVC or MLflow. docs/reference/lineage.md describes every table
and view.
"""

from typing import TYPE_CHECKING

from sift_bytes.lazy_names import names_of

if TYPE_CHECKING:
    from lineage import opt_out
    from lineage.audit.check import Anchor, Finding
    from lineage.audit.log import AuditEntryRecord
    from lineage.errors import (
        LineageBusyError,
        LineageConflictError,
        LineageError,
        LineageExtraError,
        LineageFileError,
        LineageMissingError,
        LineageNotFoundError,
        LineageQueryError,
        LineageRecordError,
        LineageSchemaError,
        LineageWriteError,
        OptOutOrderError,
    )
    from lineage.file_store import LineageStore
    from lineage.postgres.store import SharedLineageStore
    from lineage.reader import Reader
    from lineage.recorder import Recorder
    from lineage.records import (
        BaseModelRecord,
        Changed,
        ContributorRecord,
        DatasetContentRecord,
        DatasetVersionRecord,
        EnvironmentRecord,
        EvaluationRecord,
        FinetuningRecord,
        Impact,
        LaneCheck,
        LinearDigestRecord,
        Member,
        MembershipRecord,
        MergeStateRecord,
        ModelVersionRecord,
        NewState,
        PurgeObjectRecord,
        RebuildRecord,
        Record,
        RequestRecord,
        Row,
        StepRecord,
        Table,
        TaskVectorRecord,
        Trace,
        TracedMember,
    )
    from lineage.request_records import (
        ApprovalRecord,
        BackupRecord,
        ConsentRecord,
        DeadlineKind,
        DeadlineRecord,
        DeadlineStatus,
        Decision,
        DisclosureRecord,
        DistinctionRecord,
        HoldRecord,
        LikenessRecord,
        NoticeRecord,
        SetAsideRecord,
    )
    from lineage.store import Store

_HOMES = {
    "audit.check": (
        "Anchor",
        "Finding",
    ),
    "audit.log": ("AuditEntryRecord",),
    "errors": (
        "LineageBusyError",
        "LineageConflictError",
        "LineageError",
        "LineageExtraError",
        "LineageFileError",
        "LineageMissingError",
        "LineageNotFoundError",
        "LineageQueryError",
        "LineageRecordError",
        "LineageSchemaError",
        "LineageWriteError",
        "OptOutOrderError",
    ),
    "file_store": ("LineageStore",),
    "postgres.store": ("SharedLineageStore",),
    "reader": ("Reader",),
    "recorder": ("Recorder",),
    "records": (
        "BaseModelRecord",
        "Changed",
        "ContributorRecord",
        "DatasetContentRecord",
        "DatasetVersionRecord",
        "EnvironmentRecord",
        "EvaluationRecord",
        "FinetuningRecord",
        "Impact",
        "LaneCheck",
        "LinearDigestRecord",
        "Member",
        "MembershipRecord",
        "MergeStateRecord",
        "ModelVersionRecord",
        "NewState",
        "PurgeObjectRecord",
        "RebuildRecord",
        "Record",
        "RequestRecord",
        "Row",
        "StepRecord",
        "Table",
        "TaskVectorRecord",
        "Trace",
        "TracedMember",
    ),
    "request_records": (
        "ApprovalRecord",
        "BackupRecord",
        "ConsentRecord",
        "DeadlineKind",
        "DeadlineRecord",
        "DeadlineStatus",
        "Decision",
        "DisclosureRecord",
        "DistinctionRecord",
        "HoldRecord",
        "LikenessRecord",
        "NoticeRecord",
        "SetAsideRecord",
    ),
    "store": ("Store",),
}
"""Module → its public names; `opt_out` is a module itself."""

__all__ = [
    "Anchor",
    "ApprovalRecord",
    "AuditEntryRecord",
    "BackupRecord",
    "BaseModelRecord",
    "Changed",
    "ConsentRecord",
    "ContributorRecord",
    "DatasetContentRecord",
    "DatasetVersionRecord",
    "DeadlineKind",
    "DeadlineRecord",
    "DeadlineStatus",
    "Decision",
    "DisclosureRecord",
    "DistinctionRecord",
    "EnvironmentRecord",
    "EvaluationRecord",
    "Finding",
    "FinetuningRecord",
    "HoldRecord",
    "Impact",
    "LaneCheck",
    "LikenessRecord",
    "LineageBusyError",
    "LineageConflictError",
    "LineageError",
    "LineageExtraError",
    "LineageFileError",
    "LineageMissingError",
    "LineageNotFoundError",
    "LineageQueryError",
    "LineageRecordError",
    "LineageSchemaError",
    "LineageStore",
    "LineageWriteError",
    "LinearDigestRecord",
    "Member",
    "MembershipRecord",
    "MergeStateRecord",
    "ModelVersionRecord",
    "NewState",
    "NoticeRecord",
    "OptOutOrderError",
    "PurgeObjectRecord",
    "Reader",
    "RebuildRecord",
    "Record",
    "Recorder",
    "RequestRecord",
    "Row",
    "SetAsideRecord",
    "SharedLineageStore",
    "StepRecord",
    "Store",
    "Table",
    "TaskVectorRecord",
    "Trace",
    "TracedMember",
    "opt_out",
]

__getattr__ = names_of(__name__, _HOMES)
