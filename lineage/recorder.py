"""What may be written into the lineage store, each within the caller's one transaction."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from lineage import opt_out
from lineage.audit.log import AuditedConnection
from lineage.errors import LineageConflictError, LineageNotFoundError
from lineage.inserts import add_row, add_rows
from lineage.reader import Reader
from lineage.records import (
    MergeStateRecord,
    NewState,
    PurgeObjectRecord,
    RequestRecord,
    Row,
    StepRecord,
)
from lineage.request_recorder import RequestRecorder
from lineage.sql_files import as_json, query, run


class Recorder:
    """Writes records; made by `LineageStore.writer()`.

    `read` sees what this transaction has written so far; `process` writes how requests are handled.
    Every method may be run again after a
    killed process: what is recorded already stays as it is.
    """

    def __init__(self, connection: AuditedConnection) -> None:
        self._connection = connection
        self.read = Reader(connection)
        self.process = RequestRecorder(connection, self.read)

    def add(self, record: Row) -> bool:
        """Add one record; return False if the store has it already.

        A row that was retired (erased, superseded, destroyed) comes back to life. Raises
        LineageConflictError if a live row with the same key says something else.
        """
        return add_row(self._connection, record)

    def add_all(self, records: Iterable[Row]) -> int:
        """Add any number of records of any types, fast; return how many were new."""
        by_table = sorted(records, key=lambda record: record.table)
        return sum(
            add_rows(self._connection, list(group))
            for _, group in groupby(by_table, key=lambda record: record.table)
        )

    def supersede_dataset(self, contributor_key: str, sha256: str, at: datetime) -> None:
        """Say that newer data took the place of this dataset version."""
        self._touch(
            "dataset_version",
            "supersede_dataset",
            f"dataset {sha256} of contributor {contributor_key}",
            contributor_key=contributor_key,
            sha256=sha256,
            at=at,
        )

    def record_state(self, state: NewState, members: Mapping[str, str]) -> int:
        """Make `state` the current one, with exactly `members` {contributor key: run id}.

        Opens and closes memberships by comparing with the state before; returns the number of
        the new state. Raises LineageConflictError if a member's run is not recorded for that
        contributor and base, if its vector was destroyed, or if the clock went backwards.
        """
        rows = [{"contributor_key": key, "run_id": run_id} for key, run_id in members.items()]
        self._connection.stage("incoming_member", query("incoming_members"), members=as_json(rows))
        unfit = self._run("unfit_members", base_id=state.base_id)
        if unfit:
            raise LineageConflictError(
                f"{len(unfit)} members cannot be in this state, first contributor"
                f" {unfit[0]['contributor_key']}: {unfit[0]['reason']}.",
                remedy="record the finetuning run and its task vector first.",
            )
        before = self.read.current_state()
        if before is not None and state.created_at < before.created_at:
            raise LineageConflictError(
                f"the new merge state is dated {state.created_at}, before the current one,"
                f" {before.created_at}.",
                remedy="correct the clock of this machine.",
            )
        number = 1 if before is None else before.state_seq + 1
        from_before = before is not None and state.how != "rebuild"
        self.add(
            MergeStateRecord(
                **state.model_dump(),
                state_seq=number,
                parent_seq=number - 1 if from_before else None,
            )
        )
        change = {"state_seq": number, "at": state.created_at}
        self._update("membership", "close_memberships", **change)
        self._connection.insert("membership", query("open_memberships"), **change)
        return number

    def set_champion(self, name: str, version: int, at: datetime) -> bool:
        """Make this model version the served one from `at` on; False if it is already.

        Raises LineageConflictError for a version that was destroyed or has been champion before:
        it has one time of service, and may hold contributors who have left since.
        """
        wanted = self.read.model_version(name, version)
        if wanted.champion_to is not None or wanted.destroyed_at is not None:
            raise LineageConflictError(
                f"version {version} of {name} was replaced or destroyed and cannot serve again.",
                remedy="register the current merge state as a new version: sift build.",
            )
        if wanted.champion_from is not None:
            return False
        self._update("model_version", "end_champion", name=name, at=at)
        self._update("model_version", "begin_champion", name=name, version=version, at=at)
        return True

    def next_request_id(self) -> str:
        """Return the id of the next opt-out request: opt-out-0001, opt-out-0002 and so on."""
        number = self._run("last_request_number")[0]["number"] + 1
        return f"opt-out-{number:04d}"

    def receive(
        self,
        contributor_key: str,
        basis: str,
        at: datetime,
        records: Collection[str] | None = None,
        *,
        jurisdiction: str | None = None,
        filed_by: str | None = None,
    ) -> RequestRecord:
        """File an opt-out request and its first step; `at` starts the legal deadlines.

        `records` (SHA-256 of each) withdraws these alone, None the contributor with all data. The
        deadlines themselves are `set_deadlines`.
        Raises LineageNotFoundError for an unknown contributor and LineageConflictError if a request
        of the same contributor is still open.
        """
        self.read.contributor(contributor_key)
        open_request = self.read.open_request(contributor_key)
        if open_request is not None:
            raise LineageConflictError(
                f"{open_request.request_id} of contributor {contributor_key} is still open.",
                remedy=f"run it: sift opt-out run {open_request.request_id}.",
            )
        request = RequestRecord(
            request_id=self.next_request_id(),
            contributor_key=contributor_key,
            basis=basis,
            received_at=at,
            records=None if records is None else tuple(records),
            jurisdiction=jurisdiction,
            filed_by=filed_by,
        )
        self.add(request)
        self.advance(request.request_id, opt_out.STEPS[0], {"basis": basis}, at)
        return request

    def advance(self, request_id: str, step: str, details: Mapping[str, Any], at: datetime) -> bool:
        """Record that a step of a request is done; False if it was already.

        Raises OptOutOrderError out of turn, LineageNotFoundError for an unknown request.
        """
        self.read.request(request_id)
        done = [recorded.step for recorded in self.read.steps(request_id)]
        if not opt_out.may_advance(request_id, done, step):
            return False
        if step == opt_out.APPROVED:
            decisions = self.read.process.approvals(request_id)
            approvers = [row.actor for row in decisions if row.decision == opt_out.APPROVED]
            opt_out.require_approval(request_id, approvers)
        self.add(
            StepRecord(
                request_id=request_id,
                step=step,
                number=len(done) + 1,
                done_at=at,
                details=dict(details),
            )
        )
        return True

    def fail(self, request_id: str, reason: str, at: datetime) -> bool:
        """End a request without fulfilling it; False if it had failed already."""
        return self.advance(request_id, opt_out.FAILED, {"reason": reason}, at)

    def reject(self, request_id: str, reason: str, at: datetime) -> bool:
        """End a request that will not be fulfilled; False if it was rejected already."""
        return self.advance(request_id, opt_out.REJECTED, {"reason": reason}, at)

    def plan_purge(self, objects: Iterable[PurgeObjectRecord]) -> int:
        """List objects for destruction; those listed already stay. Return how many are new."""
        return self.add_all(objects)

    def mark_destroyed(self, request_id: str, place: str, locator: str, at: datetime) -> None:
        """Say that a planned object was destroyed; the first time stands."""
        self._touch_object("mark_destroyed", request_id, place, locator, at)

    def mark_absent(self, request_id: str, place: str, locator: str, at: datetime) -> None:
        """Say that a planned object was looked for again and not found; the first time stands."""
        self._touch_object("mark_absent", request_id, place, locator, at)

    def mark_erased(self, contributor_key: str, at: datetime) -> None:
        """Erase a contributor's outside id. Raises LineageConflictError while it is a member.

        The bytes may stay in free blocks of the file until `LineageStore.rewrite()`.
        """
        if self._run("is_member", contributor_key=contributor_key):
            raise LineageConflictError(
                f"contributor {contributor_key} is a member of the current merge state.",
                remedy="take it out of the merge first: sift opt-out run.",
            )
        self._touch(
            "contributor",
            "mark_erased",
            f"contributor {contributor_key}",
            contributor_key=contributor_key,
            at=at,
        )

    def forget_records(self, contributor_key: str, keep: Collection[str]) -> None:
        """Forget which records the destroyed datasets of a contributor held, but for `keep`.

        A digest of a short text can be guessed, so it goes with the text, except where a request
        named it. The bytes may stay in free blocks of the file until `LineageStore.rewrite()`.
        """
        self._update(
            "dataset_records", "forget_records", contributor_key=contributor_key, keep=list(keep)
        )

    def mark_artifacts_destroyed(
        self,
        at: datetime,
        *,
        datasets: Iterable[tuple[str, str]] = (),
        runs: Iterable[str] = (),
        states: Iterable[int] = (),
        versions: Iterable[tuple[str, int]] = (),
    ) -> None:
        """Say that the bytes of these artifacts are gone; the first time stands.

        `datasets` are (contributor key, sha256), `runs` run ids whose vector and mask went,
        `states` state numbers, `versions` (model name, version). Raises LineageConflictError for
        what is still in use (the current state, a member's data or vector, the champion) and
        LineageNotFoundError for what was never recorded.
        """
        for contributor_key, sha256 in datasets:
            what = f"dataset {sha256} of contributor {contributor_key}"
            key = {"contributor_key": contributor_key, "sha256": sha256}
            self._refuse_in_use("dataset_in_use", what, **key)
            self._touch("dataset_version", "destroy_dataset", what, **key, at=at)
        for run_id in runs:
            self._refuse_in_use("vector_in_use", f"task vector {run_id}", run_id=run_id)
            self._touch(
                "task_vector", "destroy_vector", f"task vector {run_id}", run_id=run_id, at=at
            )
        for state_seq in states:
            self._refuse_in_use("state_in_use", f"merge state {state_seq}", state_seq=state_seq)
            self._touch(
                "merge_state",
                "destroy_state",
                f"merge state {state_seq}",
                state_seq=state_seq,
                at=at,
            )
        for name, version in versions:
            what = f"version {version} of {name}"
            self._refuse_in_use("version_in_use", what, name=name, version=version)
            self._touch("model_version", "destroy_version", what, name=name, version=version, at=at)

    def forget_environments(self, at: datetime) -> list[str]:
        """Forget software and machine of every environment that no vector left was made in.

        Their ids, which say nothing of them, stay with the runs; a new run brings the facts back.
        Returns the ids that were forgotten now.
        """
        return sorted(id_ for (id_,) in self._update("environment", "forget_environments", at=at))

    def mark_vectors_dropped(self, runs: Sequence[str], at: datetime) -> None:
        """Say that the magnitudes of these runs are not kept; masks are. The first time stands.

        Raises LineageNotFoundError for a run without a task vector.
        """
        self._touch_vectors("mark_vectors_dropped", runs, at=at)

    def mark_vectors_kept(self, runs: Sequence[str]) -> None:
        """Say that the magnitudes of these runs are kept again. Raises LineageNotFoundError."""
        self._touch_vectors("mark_vectors_kept", runs)

    def _touch_vectors(self, name: str, runs: Sequence[str], /, **values: object) -> None:
        given = json.dumps(list(runs))
        touched = {run for (run,) in self._update("task_vector", name, runs=given, **values)}
        if unknown := set(runs) - touched:
            raise LineageNotFoundError(
                f"the lineage store has no task vector {min(unknown)}.",
                remedy="record it before you mark it.",
            )

    def _run(self, name: str, /, **values: object) -> list[dict[str, Any]]:
        return run(self._connection, name, **values)

    def _update(self, table: str, name: str, /, **values: object) -> list[tuple[Any, ...]]:
        """Alter rows of a table as a named query says; their keys."""
        return self._connection.update(table, query(name), **values)

    def _touch(self, table: str, name: str, what: str, /, **values: object) -> None:
        if not self._update(table, name, **values):
            raise LineageNotFoundError(
                f"the lineage store has no {what}.", remedy="record it before you mark it."
            )

    def _touch_object(
        self, name: str, request_id: str, place: str, locator: str, at: datetime
    ) -> None:
        what = f"object {locator} in {place} planned for {request_id}"
        self._touch(
            "purge_object", name, what, request_id=request_id, place=place, locator=locator, at=at
        )

    def _refuse_in_use(self, name: str, what: str, /, **values: object) -> None:
        if self._run(name, **values):
            raise LineageConflictError(
                f"{what} is in use and cannot be marked as destroyed.",
                remedy="make the merge state and model without it current first.",
            )
