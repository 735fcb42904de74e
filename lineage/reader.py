"""What can be asked of the lineage store, as records.

Asking for one thing by its name raises LineageNotFoundError if there is none. What may rightly
not be there yet (`current_…`, `open_…`, `champion`) is None instead.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from lineage import opt_out
from lineage.audit.check import Anchor, Finding, check_anchors, check_chain, check_rows
from lineage.audit.log import AuditEntryRecord
from lineage.auditor_sql import require_harmless
from lineage.errors import LineageNotFoundError, LineageQueryError
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
    PurgeObjectRecord,
    RebuildRecord,
    RequestRecord,
    StepRecord,
    Table,
    TaskVectorRecord,
    Trace,
    TracedMember,
)
from lineage.request_reader import RequestReader
from lineage.sql_files import Connection, SomeRecord, records, run


class Reader:
    """Reads records; made by `LineageStore.reader()`.

    `process` has what is known of how requests are handled.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.process = RequestReader(connection)

    # Contributors and their data

    def contributors(self) -> list[ContributorRecord]:
        """Return all contributors, erased ones included, by key."""
        return self._list(ContributorRecord, "contributors")

    def contributor(self, contributor_key: str) -> ContributorRecord:
        """Return one contributor."""
        return self._one(
            ContributorRecord,
            "contributor",
            f"contributor {contributor_key}",
            contributor_key=contributor_key,
        )

    def current_datasets(self) -> list[DatasetVersionRecord]:
        """Return the current dataset version of each contributor who has one, by key."""
        return self._list(DatasetVersionRecord, "current_datasets")

    def dataset_versions(self, contributor_key: str) -> list[DatasetVersionRecord]:
        """Return every dataset version of a contributor, oldest first."""
        return self._list(DatasetVersionRecord, "dataset_versions", contributor_key=contributor_key)

    def all_dataset_versions(self) -> list[DatasetVersionRecord]:
        """Return every dataset version of everyone, destroyed ones included."""
        return self._list(DatasetVersionRecord, "all_dataset_versions")

    def dataset_records(self) -> list[DatasetContentRecord]:
        """Return which records each dataset version holds."""
        return self._list(DatasetContentRecord, "dataset_records")

    def live_records(self, contributor_key: str) -> set[str]:
        """Return the SHA-256 of every record in a dataset version that was not destroyed."""
        rows = run(self._connection, "live_records", contributor_key=contributor_key)
        return {row["record"] for row in rows}

    # Finetunings

    def base_model(self, base_id: str) -> BaseModelRecord:
        """Return one base model."""
        return self._one(BaseModelRecord, "base_model", f"base model {base_id}", base_id=base_id)

    def environment(self, environment_id: str) -> EnvironmentRecord:
        """Return one environment."""
        return self._one(
            EnvironmentRecord,
            "environment",
            f"environment {environment_id}",
            environment_id=environment_id,
        )

    def run(self, run_id: str) -> FinetuningRecord:
        """Return one finetuning run."""
        return self._one(FinetuningRecord, "run", f"finetuning run {run_id}", run_id=run_id)

    def task_vector(self, run_id: str) -> TaskVectorRecord:
        """Return the task vector of one run, destroyed or not."""
        return self._one(TaskVectorRecord, "task_vector", f"task vector {run_id}", run_id=run_id)

    def task_vectors(self) -> list[TaskVectorRecord]:
        """Return every task vector that was not destroyed."""
        return self._list(TaskVectorRecord, "task_vectors")

    def all_task_vectors(self) -> list[TaskVectorRecord]:
        """Return every task vector, destroyed ones included."""
        return self._list(TaskVectorRecord, "all_task_vectors")

    def linear_digest(self, subject: str) -> list[LinearDigestRecord]:
        """Return the lanes of a task vector's or merge state's digest, by its SHA-256."""
        return self._list(LinearDigestRecord, "linear_digest", subject=subject)

    # Merge states

    def current_state(self) -> MergeStateRecord | None:
        """Return the current merge state, None before the first merge."""
        return self._maybe(MergeStateRecord, "current_state")

    def state(self, state_seq: int) -> MergeStateRecord:
        """Return one merge state."""
        return self._one(MergeStateRecord, "state", f"merge state {state_seq}", state_seq=state_seq)

    def states(self) -> list[MergeStateRecord]:
        """Return every merge state in order, destroyed ones included."""
        return self._list(MergeStateRecord, "states")

    def members(self, state_seq: int) -> list[Member]:
        """Return the members of a merge state by key; an empty list for a state without any."""
        self.state(state_seq)
        return self._list(Member, "members", state_seq=state_seq)

    def exported_members(self, state_seq: int) -> list[dict[str, Any]]:
        """Return the rows of `state_export.ExportedMember` for a merge state, by key."""
        rows = run(self._connection, "exported_members", state_seq=state_seq)
        return [row | {"linear_digest": tuple(row["linear_digest"])} for row in rows]

    def member_runs(self, state_seq: int) -> list[FinetuningRecord]:
        """Return the finetuning run of each member of a merge state."""
        self.state(state_seq)
        return self._list(FinetuningRecord, "member_runs", state_seq=state_seq)

    def member_datasets(self, state_seq: int) -> list[DatasetVersionRecord]:
        """Return the dataset each member of a merge state was finetuned on, by key.

        A member whose rows were replaced since then has a newer current dataset.
        """
        self.state(state_seq)
        return self._list(DatasetVersionRecord, "member_datasets", state_seq=state_seq)

    def memberships(self, contributor_key: str) -> list[MembershipRecord]:
        """Return every stay of a contributor in the merge, oldest first."""
        return self._list(MembershipRecord, "memberships", contributor_key=contributor_key)

    def vectors_changed_by(self, state_seq: int, *, afresh: bool) -> list[TaskVectorRecord]:
        """Return the vectors that came into or went out of a state; made `afresh`, all in it."""
        return self._list(
            TaskVectorRecord, "vectors_changed_by", state_seq=state_seq, afresh=afresh
        )

    def digest_check(self, state_seq: int) -> list[LaneCheck]:
        """Compare, lane by lane, the members' digests with the state's: the SQL of the docs.

        Raises LineageNotFoundError if no digest is recorded at all, so that nothing passes for
        want of anything to check.
        """
        self.state(state_seq)
        lanes = self._list(LaneCheck, "digest_check", state_seq=state_seq)
        if not lanes:
            raise LineageNotFoundError(
                f"merge state {state_seq} has no linear digest to check.",
                remedy="record the digest of the state and of its members' task vectors.",
            )
        return lanes

    def evaluations(self, state_seq: int) -> list[EvaluationRecord]:
        """Return the evaluations of a merge state."""
        return self._list(EvaluationRecord, "evaluations", state_seq=state_seq)

    def rebuild(self, state_seq: int) -> RebuildRecord | None:
        """Return what the rebuild of a merge state gave; None where it was not rebuilt."""
        return next((row for row in self.rebuilds() if row.state_seq == state_seq), None)

    def rebuilds(self) -> list[RebuildRecord]:
        """Return the merge states that were rebuilt, in order."""
        return self._list(RebuildRecord, "rebuilds")

    def scores(
        self, weights_sha256: str, settings_sha256: str, datasets: Collection[str]
    ) -> list[EvaluationRecord]:
        """Return what these weights were measured to be on these datasets, in whatever state."""
        return self._list(
            EvaluationRecord,
            "scores",
            weights_sha256=weights_sha256,
            settings_sha256=settings_sha256,
            datasets=list(datasets),
        )

    # Model versions

    def model_versions(self) -> list[ModelVersionRecord]:
        """Return all model versions by name and number, destroyed ones included."""
        return self._list(ModelVersionRecord, "model_versions")

    def model_version(self, name: str, version: int) -> ModelVersionRecord:
        """Return one model version."""
        return self._one(
            ModelVersionRecord,
            "model_version",
            f"version {version} of model {name}",
            name=name,
            version=version,
        )

    def champion(self, name: str) -> ModelVersionRecord | None:
        """Return the version of this model that is served now."""
        return self._maybe(ModelVersionRecord, "champion", name=name)

    # Across the tables

    def impact(self, contributor_key: str, records: Collection[str] | None = None) -> Impact:
        """Return everything that contains, or was made from, this contributor's data.

        With `records` (SHA-256 of each): only what any of these went into.
        """
        contributor = self.contributor(contributor_key)
        if records is None:
            datasets = self.dataset_versions(contributor_key)
        else:
            named = {"contributor_key": contributor_key, "records": list(records)}
            datasets = self._list(DatasetVersionRecord, "datasets_with", **named)
        of = {"contributor_key": contributor_key, "datasets": [row.sha256 for row in datasets]}
        return Impact(
            contributor=contributor,
            datasets=tuple(datasets),
            runs=tuple(self._list(FinetuningRecord, "impact_runs", **of)),
            vectors=tuple(self._list(TaskVectorRecord, "impact_vectors", **of)),
            states=tuple(self._list(MergeStateRecord, "impact_states", **of)),
            versions=tuple(self._list(ModelVersionRecord, "impact_versions", **of)),
        )

    def trace(self, name: str, version: int) -> Trace:
        """Follow a model version back to base, members, runs, data and environments."""
        model = self.model_version(name, version)
        state = self.state(model.state_seq)
        seq = {"state_seq": state.state_seq}
        contributors = self._list(ContributorRecord, "trace_contributors", **seq)
        runs = {run.contributor_key: run for run in self.member_runs(**seq)}
        vectors = {
            v.contributor_key: v for v in self._list(TaskVectorRecord, "trace_vectors", **seq)
        }
        datasets = {d.contributor_key: d for d in self.member_datasets(**seq)}
        places = {
            e.environment_id: e for e in self._list(EnvironmentRecord, "trace_environments", **seq)
        }
        return Trace(
            version=model,
            state=state,
            base=self.base_model(state.base_id),
            members=tuple(
                TracedMember(
                    contributor=who,
                    run=runs[who.contributor_key],
                    vector=vectors[who.contributor_key],
                    dataset=datasets[who.contributor_key],
                    environment=places[runs[who.contributor_key].environment_id],
                )
                for who in contributors
            ),
        )

    # Opt-outs

    def requests(self) -> list[RequestRecord]:
        """Return all opt-out requests, oldest first."""
        return self._list(RequestRecord, "requests")

    def request(self, request_id: str) -> RequestRecord:
        """Return one opt-out request."""
        return self._one(
            RequestRecord, "request", f"opt-out request {request_id}", request_id=request_id
        )

    def steps(self, request_id: str) -> list[StepRecord]:
        """Return the steps of a request that are done, in their order."""
        return self._list(StepRecord, "steps", request_id=request_id)

    def next_step(self, request_id: str) -> str | None:
        """Return the step a request stands before, None when it has ended."""
        self.request(request_id)
        return opt_out.next_step([recorded.step for recorded in self.steps(request_id)])

    def open_request(self, contributor_key: str) -> RequestRecord | None:
        """Return the contributor's request that has not ended, if there is one."""
        requests = self._list(
            RequestRecord, "requests_of_contributor", contributor_key=contributor_key
        )
        return next((one for one in requests if self.next_step(one.request_id)), None)

    def removed_contributors(self) -> set[str]:
        """Return the keys of all contributors whom an opt-out has taken out of the merge.

        Who withdrew some records only is not among them.
        """
        rows = run(self._connection, "removed_contributors")
        return {row["contributor_key"] for row in rows}

    def purge_objects(self, request_id: str) -> list[PurgeObjectRecord]:
        """Return the objects a request must destroy, by place and locator."""
        return self._list(PurgeObjectRecord, "purge_objects", request_id=request_id)

    # Auditors

    def audit_head(self) -> AuditEntryRecord:
        """Return the last entry of the audit log: what to note elsewhere as an `Anchor`."""
        return self._one(AuditEntryRecord, "audit_head", "entry in its audit log")

    def changed_since(self, seq: int) -> Changed:
        """Return what was made or destroyed in the entries of the audit log after `seq`."""
        return Changed(
            datasets=tuple(self._list(DatasetVersionRecord, "changed_datasets", seq=seq)),
            vectors=tuple(self._list(TaskVectorRecord, "changed_vectors", seq=seq)),
            states=tuple(self._list(MergeStateRecord, "changed_states", seq=seq)),
            versions=tuple(self._list(ModelVersionRecord, "changed_versions", seq=seq)),
        )

    def audit_findings(self, anchors: Collection[Anchor] = ()) -> dict[str, list[Finding]]:
        """Check the audit log against itself, what was noted elsewhere, and every row.

        Returns {"chain": [...], "anchors": [...], "rows": [...]}; all empty if all is well.
        """
        return {
            "chain": list(check_chain(self._connection)),
            "anchors": list(check_anchors(self._connection, anchors)),
            "rows": list(check_rows(self._connection)),
        }

    def sql(self, text: str) -> Table:
        """Answer one SELECT. It can neither write nor read any file.

        Raises LineageQueryError for anything else and for SQL that is wrong.
        """
        with self._asked(text) as cursor:
            rows = cursor.fetchall()
        return Table(columns=tuple(column[0] for column in cursor.description), rows=tuple(rows))

    def arrow(self, text: str) -> Any:
        """Answer one SELECT as `sql` does, as a pyarrow.Table with the types of its columns."""
        with self._asked(text) as cursor:
            return cursor.to_arrow_table()

    @contextmanager
    def _asked(self, text: str) -> Iterator[Any]:
        try:
            require_harmless(self._connection, text)
            yield self._connection.execute(text)
        except duckdb.Error as error:
            raise LineageQueryError(
                f"the SQL failed: {str(error).splitlines()[0]}.",
                remedy="the tables and views are described in docs/reference/lineage.md.",
            ) from error

    def _list(self, record: type[SomeRecord], query: str, /, **values: object) -> list[SomeRecord]:
        return records(self._connection, record, query, **values)

    def _maybe(self, record: type[SomeRecord], query: str, /, **values: Any) -> SomeRecord | None:
        rows = self._list(record, query, **values)
        return rows[0] if rows else None

    def _one(self, record: type[SomeRecord], query: str, what: str, /, **values: Any) -> SomeRecord:
        found = self._maybe(record, query, **values)
        if found is None:
            raise LineageNotFoundError(
                f"the lineage store has no {what}.",
                remedy="see what there is: sift status, sift contributors list.",
            )
        return found
