"""A small store with a whole story in it, for tests that need real rows.

Ada, Bob and Cyd are merged (state 1). Bob brings new data and Dan joins (state 2). Cyd opts out
(state 3), everything of Cyd is destroyed and the name erased.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lineage import (
    BaseModelRecord,
    ContributorRecord,
    DatasetContentRecord,
    DatasetVersionRecord,
    EnvironmentRecord,
    EvaluationRecord,
    FinetuningRecord,
    LineageStore,
    LinearDigestRecord,
    ModelVersionRecord,
    NewState,
    PurgeObjectRecord,
    Recorder,
    Row,
    Store,
    TaskVectorRecord,
    opt_out,
)

LANES = 2
MODEL = "demo"


def at(day: float) -> datetime:
    """Return noon UTC of a day of the story; day 1 is 1 January 2026."""
    return datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=day - 1)


def key(name: str) -> str:
    return hashlib.sha256(f"key {name}".encode()).hexdigest()[:32]


def sha(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def md5(name: str) -> str:
    return sha(f"md5 {name}")[:32]


def lane(subject: str, number: int) -> int:
    """Return a digest lane of a task vector: as good as random, full 64 bits."""
    return int(sha(f"{subject} {number}")[:16], 16)


BASE = BaseModelRecord(
    base_id=sha("base"),
    source="a registry package, version 1",
    entries=1000,
    trainable_entries=800,
    warm_start={"name": "public reviews", "licence": "MIT", "rows": 100, "steps": 20},
    created_at=at(1),
)
ENVIRONMENT = EnvironmentRecord(
    environment_id=sha("environment"),
    code_version="0.1.0",
    python="3.11.9",
    platform="linux x86_64",
    device="cpu",
    threads=2,
    packages={"torch": "2.13.0"},
)


def run_id(name: str, data: str) -> str:
    return sha(f"run {name} {data}")


def dataset(name: str, data: str, day: float) -> DatasetVersionRecord:
    return DatasetVersionRecord(
        contributor_key=key(name),
        sha256=sha(f"data {name} {data}"),
        md5=md5(f"data {name} {data}"),
        bytes=1234,
        train_rows=24,
        test_rows=6,
        task="classification",
        added_at=at(day),
    )


def record(name: str, data: str = "always") -> str:
    """Return the digest of a record of one version of the data, or of one in all of them."""
    return sha(f"record {name} {data}")


def dataset_records(name: str, data: str) -> DatasetContentRecord:
    return DatasetContentRecord(
        contributor_key=key(name),
        sha256=sha(f"data {name} {data}"),
        records=(record(name, data), record(name)),
    )


def finetuning(name: str, data: str, day: float) -> list[Row]:
    """Return the run, the task vector and its digests of one finetuning."""
    vector_sha256 = sha(f"vector {name} {data}")
    return [
        FinetuningRecord(
            run_id=run_id(name, data),
            contributor_key=key(name),
            dataset_sha256=sha(f"data {name} {data}"),
            base_id=BASE.base_id,
            environment_id=ENVIRONMENT.environment_id,
            parameters={"learning_rate": 1e-4, "batch": 8},
            seed=7,
            steps=20,
            first_loss=0.7,
            last_loss=0.1,
            started_at=at(day),
            finished_at=at(day) + timedelta(seconds=9),
        ),
        TaskVectorRecord(
            run_id=run_id(name, data),
            contributor_key=key(name),
            vector_sha256=vector_sha256,
            mask_sha256=sha(f"mask {name} {data}"),
            vector_md5=md5(f"vector {name} {data}"),
            mask_md5=md5(f"mask {name} {data}"),
            vector_bytes=880,
            mask_bytes=100,
            entries=800,
            nonzero=440,
            created_at=at(day),
        ),
        *(
            LinearDigestRecord(
                subject=vector_sha256, lane=number, value=lane(vector_sha256, number)
            )
            for number in range(LANES)
        ),
    ]


def contribute(recorder: Recorder, name: str, data: str, day: float) -> None:
    """Take in a contributor, or its newer data, and finetune on it."""
    for old in recorder.read.dataset_versions(key(name)):
        recorder.supersede_dataset(key(name), old.sha256, at(day))
    recorder.add(ContributorRecord(contributor_key=key(name), external_id=name, added_at=at(day)))
    recorder.add_all(
        [dataset(name, data, day), dataset_records(name, data), *finetuning(name, data, day)]
    )


def new_state(members: Mapping[str, str], how: str, day: float) -> NewState:
    content = f"state {sorted(members.items())}"
    return NewState.model_validate(
        {
            "state_sha256": sha(content),
            "md5": md5(content),
            "bytes": 6400,
            "base_id": BASE.base_id,
            "how": how,
            "created_at": at(day),
        }
    )


def digests(state: NewState, members: Mapping[str, str]) -> list[LinearDigestRecord]:
    """Return the lanes of a state of {name: data}: the sums of its members'."""
    vectors = [sha(f"vector {name} {data}") for name, data in members.items()]
    return [
        LinearDigestRecord(
            subject=state.state_sha256,
            lane=number,
            value=sum(lane(vector, number) for vector in vectors) % 2**64,
        )
        for number in range(LANES)
    ]


def evaluations(members: Iterable[str], state_seq: int, day: float) -> list[EvaluationRecord]:
    """Return the same six numbers for each member."""
    return [
        EvaluationRecord.model_validate(
            {
                "state_seq": state_seq,
                "contributor_key": key(name),
                "setting": setting,
                "split": split,
                "metric": "accuracy",
                "value": value,
                "row_count": 6,
                "evaluated_at": at(day),
            }
        )
        for name in members
        for split in ("held_in", "held_out")
        for setting, value in (("base", 0.5), ("merged", 0.625), ("masked", 0.875))
    ]


def model_version(state: NewState, state_seq: int, day: float) -> ModelVersionRecord:
    """Return the version that serves a state; both have one number."""
    return ModelVersionRecord(
        name=MODEL,
        version=state_seq,
        state_seq=state_seq,
        served_sha256=sha(f"served {state.state_sha256}"),
        members_sha256=sha(f"members' {state.state_sha256}"),
        mlflow_run_id=f"mlflow-run-{state_seq}",
        mlflow_model_id=f"m-{state_seq}",
        registered_at=at(day),
    )


def merge(recorder: Recorder, members: Mapping[str, str], how: str, day: float) -> int:
    """Record a state of {name: data}, its digest, its evaluations, and serve it as a version."""
    state = new_state(members, how, day)
    runs = {key(name): run_id(name, data) for name, data in members.items()}
    state_seq = recorder.record_state(state, runs)
    recorder.add_all(digests(state, members))
    recorder.add_all(evaluations(members, state_seq, day))
    recorder.add(model_version(state, state_seq, day))
    recorder.set_champion(MODEL, state_seq, at(day))
    return state_seq


def opt_out_of(recorder: Recorder, name: str, rest: Mapping[str, str], day: float) -> str:
    """Take `name` out of the merge, destroy all that contains it, and report."""
    impact = recorder.read.impact(key(name))
    request_id = recorder.receive(key(name), "gdpr-art-17", at(day)).request_id
    recorder.process.decide(request_id, "approved", "dpo", "identity proven", at(day))
    merge(recorder, rest, "opt-out", day)
    objects = [
        PurgeObjectRecord(
            request_id=request_id,
            place="dvc-cache",
            kind="vector",
            locator=vector.vector_md5,
            bytes=vector.vector_bytes,
            planned_at=at(day),
        )
        for vector in impact.vectors
    ]
    recorder.plan_purge(objects)
    for one in objects:
        recorder.mark_destroyed(request_id, one.place, one.locator, at(day))
        recorder.mark_absent(request_id, one.place, one.locator, at(day))
    recorder.mark_artifacts_destroyed(
        at(day),
        datasets=[(one.contributor_key, one.sha256) for one in impact.datasets],
        runs=[one.run_id for one in impact.vectors],
        states=[one.state_seq for one in impact.states],
        versions=[(one.name, one.version) for one in impact.versions],
    )
    recorder.mark_erased(key(name), at(day))
    recorder.forget_records(key(name), ())
    for step in opt_out.STEPS[1:]:
        recorder.advance(request_id, step, {"objects": len(objects)}, at(day))
    return request_id


def empty_store(path: Path, wait_seconds: float = 10.0) -> LineageStore:
    store = LineageStore(path, wait_seconds)
    store.migrate()
    return store


def populate(store: Store) -> None:
    """Tell the whole story of the module's docstring into an empty store."""
    with store.writer() as recorder:
        recorder.add_all([BASE, ENVIRONMENT])
        for name in ("ada", "bob", "cyd"):
            contribute(recorder, name, "first", day=2)
        merge(recorder, {"ada": "first", "bob": "first", "cyd": "first"}, "rebuild", day=3)
    with store.writer() as recorder:
        contribute(recorder, "bob", "second", day=10)
        contribute(recorder, "dan", "first", day=10)
        members = {"ada": "first", "bob": "second", "cyd": "first", "dan": "first"}
        merge(recorder, members, "update", day=11)
    with store.writer() as recorder:
        rest = {"ada": "first", "bob": "second", "dan": "first"}
        opt_out_of(recorder, "cyd", rest, day=20)
