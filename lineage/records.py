"""The rows of the lineage store as typed, frozen records.

One class a table, one field a column, in the order of the table. Times are timezone-aware and
become UTC. Whatever a column cannot hold is refused here, before any SQL is written.
"""

import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    StringConstraints,
    ValidationError,
)

from lineage import opt_out
from lineage.errors import LineageRecordError
from lineage.times import Utc


def _without_nul(text: str) -> str:
    # A NUL ends the string for many readers of a report, so two ids could look like one.
    if "\x00" in text:
        raise ValueError("holds a NUL character")
    return text


def _plain_json(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    text = json.dumps(value, allow_nan=False)
    if "\\u0000" in text:
        raise ValueError("holds a NUL character")
    return value


def _known_step(step: str) -> str:
    if step not in (*opt_out.STEPS, *opt_out.UNFULFILLED):
        raise ValueError("is not a step of an opt-out")
    return step


def _in_64_bits(lane: str) -> str:
    if int(lane) >= 2**64:
        raise ValueError("is not below 2^64")
    return lane


def _in_order(records: Any) -> Any:
    return records if records is None else tuple(sorted(set(records)))


Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(_without_nul)]
ContributorKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
MemberMean = Literal["counted", "all"]
Level = Literal["derived", "rebuilt"]
"""A member's entries are the mean over the members who moved them, or over all members."""
TooLong = Literal["window", "cut", "refuse"]
"""What becomes of a row with more tokens than are read at once."""
TrainOnTurns = Literal["all", "last"]
"""Which of the assistant's turns in a chat are learned."""
Md5 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Sequence32 = Annotated[int, Field(ge=1, le=2**31 - 1)]
Lane = Annotated[int, Field(ge=0, le=2**31 - 1)]
LaneValue = Annotated[int, Field(ge=0, le=2**64 - 1)]
DecimalLane = Annotated[
    str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,19})$"), AfterValidator(_in_64_bits)
]
"""A lane as text: JSON's numbers do not hold 64 bits everywhere."""
DecimalDigest = Annotated[tuple[DecimalLane, ...], Field(min_length=1)]
Records = Annotated[tuple[Sha256, ...], BeforeValidator(_in_order)]
"""Different records by their SHA-256, in order."""
Json = Annotated[dict[str, JsonValue], AfterValidator(_plain_json)]


class Record(BaseModel):
    """Base of all records.

    Raises LineageRecordError where a field does not fit. Its text names the field and the rule,
    never the value: a value may be a contributor's name, and errors end up in logs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
                for item in error.errors(include_input=False, include_url=False)
            )
            # `from None`: the original error prints the values.
            raise LineageRecordError(
                f"{type(self).__name__} cannot be recorded: {wrong}.",
                remedy="correct the named fields.",
            ) from None


class Row(Record):
    """A record that is one row of one table.

    `table` and `key` say where it lives. `again` says what adding a row with a known key means:
    `refuse` (the same row again is nothing, another one a conflict, unless the old row is
    retired), `keep` (the first stays) or `replace` (the last stays). A row is retired once one
    of the columns in `retired_by` is set; it may then be brought back.
    """

    table: ClassVar[str]
    key: ClassVar[tuple[str, ...]]
    again: ClassVar[Literal["refuse", "keep", "replace"]] = "refuse"
    retired_by: ClassVar[tuple[str, ...]] = ()


class ContributorRecord(Row):
    """Whoever gave data; `external_id` is None once erased."""

    table = "contributor"
    key = ("contributor_key",)
    retired_by = ("erased_at",)

    contributor_key: ContributorKey
    external_id: Text | None
    added_at: Utc
    erased_at: Utc | None = None


class DatasetVersionRecord(Row):
    """One validated data file of a contributor, named by its content."""

    table = "dataset_version"
    key = ("contributor_key", "sha256")
    retired_by = ("superseded_at", "destroyed_at")

    contributor_key: ContributorKey
    sha256: Sha256
    md5: Md5
    bytes: Count
    train_rows: Count
    test_rows: Count
    task: Literal["classification", "generation"]
    added_at: Utc
    superseded_at: Utc | None = None
    destroyed_at: Utc | None = None


class DatasetContentRecord(Row):
    """Which records a dataset version holds, each by its SHA-256."""

    table = "dataset_records"
    key = ("contributor_key", "sha256")
    again = "replace"

    contributor_key: ContributorKey
    sha256: Sha256
    records: Records


class BaseModelRecord(Row):
    """The public model every finetuning starts from; `warm_start` names its public data."""

    table = "base_model"
    key = ("base_id",)
    again = "keep"

    base_id: Sha256
    source: Text
    entries: Count
    trainable_entries: Count
    warm_start: Json | None = None
    created_at: Utc
    revision: Text | None = None


class EnvironmentRecord(Row):
    """The software and machine a finetuning ran on; forgotten where no vector of it is left."""

    table = "environment"
    key = ("environment_id",)
    retired_by = ("forgotten_at",)

    environment_id: Text
    code_version: Text | None
    python: Text | None
    platform: Text | None
    device: Text | None
    threads: Lane | None
    packages: Json | None
    forgotten_at: Utc | None = None


class FinetuningRecord(Row):
    """One finetuning of one contributor's data alone; `run_id` is the fingerprint of its inputs."""

    table = "finetuning_run"
    key = ("run_id",)
    again = "replace"

    run_id: Text
    contributor_key: ContributorKey
    dataset_sha256: Sha256
    base_id: Sha256
    environment_id: Text
    parameters: Json
    seed: Count
    steps: Count
    first_loss: FiniteFloat
    last_loss: FiniteFloat
    started_at: Utc
    finished_at: Utc
    flow_run_id: Text | None = None


class TaskVectorRecord(Row):
    """The two files a finetuning left: magnitudes, perhaps dropped since, and mask."""

    table = "task_vector"
    key = ("run_id",)
    retired_by = ("destroyed_at",)

    run_id: Text
    contributor_key: ContributorKey
    vector_sha256: Sha256
    mask_sha256: Sha256
    vector_md5: Md5
    mask_md5: Md5
    vector_bytes: Count
    mask_bytes: Count
    entries: Count
    nonzero: Count
    created_at: Utc
    destroyed_at: Utc | None = None
    dropped_at: Utc | None = None


class LinearDigestRecord(Row):
    """One lane of the linear digest of a task vector or merge state, named by its SHA-256."""

    table = "linear_digest"
    key = ("subject", "lane")

    subject: Sha256
    lane: Lane
    value: LaneValue


class NewState(Record):
    """A merge state that is about to become the current one: the store gives it its number."""

    state_sha256: Sha256
    md5: Md5
    bytes: Count
    base_id: Sha256
    how: Literal["rebuild", "update", "opt-out"]
    created_at: Utc


class MergeStateRecord(Row):
    """One sum of task vectors; the highest `state_seq` is the current one."""

    table = "merge_state"
    key = ("state_seq",)

    state_seq: Sequence32
    state_sha256: Sha256
    md5: Md5
    bytes: Count
    base_id: Sha256
    parent_seq: Sequence32 | None
    how: Literal["rebuild", "update", "opt-out"]
    created_at: Utc
    destroyed_at: Utc | None = None


class MembershipRecord(Row):
    """A contributor's stay in the merge: member of state k iff from_seq <= k < to_seq."""

    table = "membership"
    key = ("contributor_key", "from_seq")

    contributor_key: ContributorKey
    run_id: Text
    from_seq: Sequence32
    to_seq: Sequence32 | None = None
    valid_from: Utc
    valid_to: Utc | None = None


class ModelVersionRecord(Row):
    """A version registered in MLflow and the merge state it serves."""

    table = "model_version"
    key = ("name", "version")

    name: Text
    version: Sequence32
    state_seq: Sequence32
    served_sha256: Sha256
    mlflow_run_id: Text
    mlflow_model_id: Text
    registered_at: Utc
    champion_from: Utc | None = None
    champion_to: Utc | None = None
    destroyed_at: Utc | None = None
    members_sha256: Sha256


Setting = Literal["base", "merged", "masked"]
"""Whose weights: the base model's, those that anyone is served, those under the own mask."""
Split = Literal["held_in", "held_out"]
"""The rows that trained, and those that did not."""
Metric = Literal["accuracy", "answer_probability", "next_token_accuracy", "perplexity"]


class EvaluationRecord(Row):
    """How well one merge state serves one contributor, by one metric.

    The same trained weights on the same dataset under the same settings are scored once: a row of
    another state may say what was measured then.
    """

    table = "evaluation"
    key = ("state_seq", "contributor_key", "setting", "split", "metric")
    again = "replace"

    state_seq: Sequence32
    contributor_key: ContributorKey
    setting: Setting
    split: Split
    metric: Metric
    value: FiniteFloat
    row_count: Count
    evaluated_at: Utc
    weights_sha256: Sha256 | None = None
    dataset_sha256: Sha256 | None = None
    settings_sha256: Sha256 | None = None


class RebuildRecord(Row):
    """A merge state that an audit added up anew from its members' vectors alone.

    `sequence` and `certificate` are the attestation's in the chain of certificates; without them,
    other bytes came out than those of the state.
    """

    table = "rebuild"
    key = ("state_seq",)
    again = "replace"

    state_seq: Sequence32
    rebuilt_sha256: Sha256
    rebuilt_at: Utc
    sequence: Sequence32 | None = None
    certificate: Sha256 | None = None


class RequestRecord(Row):
    """A contributor's request to withdraw and the right it rests on.

    `records` names single records by their SHA-256; None stands for the contributor with all data.
    `jurisdiction` is the law whose deadlines count, `filed_by` who filed it here.
    """

    table = "opt_out_request"
    key = ("request_id",)

    request_id: Text
    contributor_key: ContributorKey
    basis: Text
    received_at: Utc
    records: Records | None = None
    jurisdiction: Text | None = None
    filed_by: Text | None = None


class StepRecord(Row):
    """A step of a request that is done, with what it found or made."""

    table = "opt_out_step"
    key = ("request_id", "step")

    request_id: Text
    step: Annotated[str, AfterValidator(_known_step)]
    number: Sequence32
    done_at: Utc
    details: Json


class PurgeObjectRecord(Row):
    """One object a request must destroy; `locator` finds it within `place`."""

    table = "purge_object"
    key = ("request_id", "place", "locator")
    again = "keep"

    request_id: Text
    place: Text
    kind: Text
    locator: Text
    bytes: Count | None = None
    planned_at: Utc
    destroyed_at: Utc | None = None
    absent_at: Utc | None = None


class Member(Record):
    """A contributor within one merge state, with the digests of its files."""

    contributor_key: ContributorKey
    external_id: Text | None
    run_id: Text
    vector_sha256: Sha256
    mask_sha256: Sha256
    vector_md5: Md5
    mask_md5: Md5


class LaneCheck(Record):
    """One lane of the digest check of a merge state.

    `members_sum` is the sum of the members' digests modulo 2^64, `state_value` the digest of the
    state (None if none was recorded). `equal` also asks that every member has a digest.
    """

    lane: Lane
    members: Count
    digests: Count
    members_sum: LaneValue
    state_value: LaneValue | None
    equal: bool


class Impact(Record):
    """Everything that contains, or was made from, one contributor's data or some records of it."""

    contributor: ContributorRecord
    datasets: tuple[DatasetVersionRecord, ...]
    runs: tuple[FinetuningRecord, ...]
    vectors: tuple[TaskVectorRecord, ...]
    states: tuple[MergeStateRecord, ...]
    versions: tuple[ModelVersionRecord, ...]


class Changed(Record):
    """The artifacts that were made or destroyed since some moment, as their rows are now."""

    datasets: tuple[DatasetVersionRecord, ...]
    vectors: tuple[TaskVectorRecord, ...]
    states: tuple[MergeStateRecord, ...]
    versions: tuple[ModelVersionRecord, ...]


class TracedMember(Record):
    """A member of a traced model version with all it came from."""

    contributor: ContributorRecord
    run: FinetuningRecord
    vector: TaskVectorRecord
    dataset: DatasetVersionRecord
    environment: EnvironmentRecord


class Trace(Record):
    """A model version followed back to its data."""

    version: ModelVersionRecord
    state: MergeStateRecord
    base: BaseModelRecord
    members: tuple[TracedMember, ...]


class Table(Record):
    """The answer to an auditor's SQL."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


ROWS: tuple[type[Row], ...] = (
    ContributorRecord,
    DatasetVersionRecord,
    DatasetContentRecord,
    BaseModelRecord,
    EnvironmentRecord,
    FinetuningRecord,
    TaskVectorRecord,
    LinearDigestRecord,
    MergeStateRecord,
    MembershipRecord,
    ModelVersionRecord,
    EvaluationRecord,
    RebuildRecord,
    RequestRecord,
    StepRecord,
    PurgeObjectRecord,
)
