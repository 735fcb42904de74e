"""What came from whom: the lineage store, its records and its errors.

    store = LineageStore(workspace / "lineage.duckdb")
    store.migrate()
    with store.writer() as recorder:   # one transaction
        recorder.add(Contributor(...))
    with store.reader() as reader:     # read-only
        reader.impact(contributor_key)

Knows nothing of torch, Prefect, DVC or MLflow. docs/lineage.md describes every table and view.
"""

from lineage import opt_out
from lineage.audit.check import Anchor, Finding
from lineage.audit.log import AuditEntry
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
from lineage.postgres.store import SharedLineageStore
from lineage.reader import Reader
from lineage.recorder import Recorder
from lineage.records import (
    BaseModelRecord,
    Changed,
    Contributor,
    DatasetRecords,
    DatasetVersion,
    Environment,
    Evaluation,
    FinetuningRun,
    Impact,
    LaneCheck,
    LinearDigest,
    Member,
    Membership,
    MergeState,
    ModelVersion,
    NewState,
    OptOutRequest,
    OptOutStep,
    PurgeObject,
    Record,
    Row,
    Table,
    TaskVector,
    Trace,
    TracedMember,
)
from lineage.request_records import (
    Backup,
    Consent,
    DeadlineKind,
    DeadlineStatus,
    Decision,
    Disclosure,
    Distinction,
    LegalHold,
    Likeness,
    OptOutApproval,
    OptOutDeadline,
    OptOutNotice,
    OptOutSetAside,
)
from lineage.store import LineageStore, Store

__all__ = [
    "Anchor",
    "AuditEntry",
    "Backup",
    "BaseModelRecord",
    "Changed",
    "Consent",
    "Contributor",
    "DatasetRecords",
    "DatasetVersion",
    "DeadlineKind",
    "DeadlineStatus",
    "Decision",
    "Disclosure",
    "Distinction",
    "Environment",
    "Evaluation",
    "Finding",
    "FinetuningRun",
    "Impact",
    "LaneCheck",
    "LegalHold",
    "Likeness",
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
    "LinearDigest",
    "Member",
    "Membership",
    "MergeState",
    "ModelVersion",
    "NewState",
    "OptOutApproval",
    "OptOutDeadline",
    "OptOutNotice",
    "OptOutOrderError",
    "OptOutRequest",
    "OptOutSetAside",
    "OptOutStep",
    "PurgeObject",
    "Reader",
    "Record",
    "Recorder",
    "Row",
    "SharedLineageStore",
    "Store",
    "Table",
    "TaskVector",
    "Trace",
    "TracedMember",
    "opt_out",
]
