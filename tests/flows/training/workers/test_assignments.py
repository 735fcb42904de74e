"""Whatever becomes of workers, the vectors are those that this process would have made."""

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from flows.integrations.staging.staging import Staging
from flows.training.base_model import load_base
from flows.training.finetune import finetune_alone, jobs, pending
from flows.training.workers import assignments, worker
from flows.training.workers.errors import WorkersFailedError
from flows.training.workers.pool import RunState
from flows.workspace.workspace import Workspace
from tests.support.pools import Act, Errand, LocalPool, SilentError, honest
from tests.support.waiting import NAMES, finetune_by, staged, vectors_and_masks, with_build
from tests.support.workspaces import change, marker


def crash_after(count: int) -> Act:
    """A worker that dies when it has given back so many."""

    def act(errand: Errand) -> None:
        left = iter(range(count))
        give_back = worker._give_back

        def dying(*arguments: object) -> None:
            if next(left, None) is None:
                raise MemoryError
            give_back(*arguments)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker, "_give_back", dying)
            honest(errand)

    return act


def test_workers_end_in_the_bytes_of_this_process_and_leave_nothing_staged(
    waiting: Workspace, made_here: dict[str, bytes]
) -> None:
    with_build(waiting, shard_size=2)
    pool = finetune_by(waiting)

    assert vectors_and_masks(waiting) == made_here
    assert pending(waiting) == []
    assert len(pool.errands) == 3
    assert staged(waiting) == {}
    assert list(waiting.temporary.iterdir()) == []
    told = repr(pool.errands)  # all that Prefect hears
    named = [(job.dataset.contributor_key, job.dataset.sha256) for job in jobs(waiting)]
    assert not [word for words in [*named, NAMES] for word in words if word in told]


def test_workers_that_train_adapters_end_in_the_bytes_of_this_process(waiting: Workspace) -> None:
    workspace = change(waiting, "  adapter:", "  adapter: {rank: 2, alpha: 4}")
    work = jobs(workspace)
    finetune_by(workspace)

    made = list(vectors_and_masks(workspace).values())
    base = load_base(workspace)
    for job in work:
        vector = finetune_alone(workspace, base, job.dataset).vector
        assert vector.to_bytes() in made and vector.mask.to_bytes() in made
        assert all("lora_B" in name or "classifier" in name for name in vector.mask.bits)


def test_what_a_crashed_worker_finished_counts_and_the_rest_is_done_by_another(
    waiting: Workspace, made_here: dict[str, bytes]
) -> None:
    pool = finetune_by(waiting, crash_after(2), honest)

    assert vectors_and_masks(waiting) == made_here
    assert len(pool.errands) == 3  # the one at whom it stopped goes alone, the innocent together
    assert staged(waiting) == {}


def test_a_silent_worker_is_given_up_after_the_time_that_was_set(
    waiting: Workspace, made_here: dict[str, bytes]
) -> None:
    with_build(waiting, lost_after=0.2)

    def silent(errand: Errand) -> None:
        raise SilentError

    started = time.monotonic()
    pool = finetune_by(waiting, silent, honest)

    assert time.monotonic() - started > 0.2
    assert list(pool.given_up) == [pool.errands[0].assignment]
    assert vectors_and_masks(waiting) == made_here
    assert staged(waiting) == {}


def test_an_worker_that_comes_back_after_it_was_given_up_gives_nothing_back(
    waiting: Workspace,
) -> None:
    with_build(waiting, lost_after=0.1)

    def silent(errand: Errand) -> None:
        raise SilentError

    pool = finetune_by(waiting, silent, honest)
    before = vectors_and_masks(waiting)

    with pytest.raises(worker.WithdrawnError):
        honest(pool.errands[0])
    assert staged(waiting) == {}
    assert vectors_and_masks(waiting) == before


@pytest.mark.slow
def test_an_worker_whose_assignment_goes_while_it_writes_takes_back_what_it_wrote(
    waiting: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Staging.put

    def late(staging: Staging, path: str, content: object) -> None:
        if path.endswith(".json") and "/out/" in path:
            staging.destroy(path.partition("/")[0] + "/assignment.json")
        put(staging, path, content)  # type: ignore[arg-type]

    left: list[dict[str, int]] = []

    def act(errand: Errand) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Staging, "put", late)
            with pytest.raises(worker.WithdrawnError):
                honest(errand)
        left.append(errand.given_back)

    finetune_by(waiting, act, honest)
    assert left == [{}]


@pytest.mark.slow
def test_whoever_no_worker_can_do_is_named_and_all_others_are_recorded(
    waiting: Workspace, made_here: dict[str, bytes]
) -> None:
    victim = waiting.key_of(NAMES[2])
    finetune_rows = worker._carry_out

    def poisoned(*arguments: object) -> int:
        if arguments[2].contributor_key == victim:  # type: ignore[attr-defined]
            raise MemoryError
        return finetune_rows(*arguments)  # type: ignore[arg-type]

    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(WorkersFailedError, match=victim) as caught,
    ):
        patch.setattr(worker, "_carry_out", poisoned)
        finetune_by(waiting)

    assert caught.value.facts.count("its run ended as Failed") == 3
    assert [job.dataset.contributor_key for job in pending(waiting)] == [victim]
    assert staged(waiting) == {}
    finetune_by(waiting)
    assert vectors_and_masks(waiting) == made_here


def test_an_worker_that_says_it_failed_says_so_by_the_name_of_an_error(waiting: Workspace) -> None:
    with_build(waiting, attempts=1)

    def diverging(*_: object) -> object:
        raise worker.sift_core.SiftCoreError("It diverged.", remedy="none.")

    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(WorkersFailedError, match="SiftCoreError by its worker"),
    ):
        patch.setattr(worker, "finetune_rows", diverging)
        finetune_by(waiting)
    assert len(pending(waiting)) == len(NAMES)


@pytest.mark.slow
def test_an_altered_base_model_is_noticed_by_workers_and_staged_afresh(
    waiting: Workspace, made_here: dict[str, bytes]
) -> None:
    def altering(errand: Errand) -> None:
        (weights,) = (p for p in errand.staging.list("base") if p.endswith("model.safetensors"))
        data = errand.staging.read(weights, 1 << 30)
        errand.staging.put(weights, data[:-1] + bytes([data[-1] ^ 1]))
        honest(errand)

    shutil.rmtree(waiting.root.parent / "worker", ignore_errors=True)  # a machine that is new here
    pool = finetune_by(waiting, altering, honest)

    assert len(pool.errands) > 1
    assert vectors_and_masks(waiting) == made_here


@pytest.mark.slow
def test_altered_rows_are_noticed_before_anything_is_computed_from_them(
    waiting: Workspace, made_here: dict[str, bytes]
) -> None:
    def altering(errand: Errand) -> None:
        for path in errand.staging.list(f"{errand.assignment}/in"):
            data = errand.staging.read(path, 1 << 30)
            errand.staging.put(path, data.replace(b"great", b"awful").replace(b"nice", b"poor"))
        honest(errand)

    finetune_by(waiting, altering, honest)
    assert vectors_and_masks(waiting) == made_here


def test_nothing_of_a_contributor_is_on_an_workers_disk_even_while_it_works(
    waiting: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    words = [marker(name).encode() for name in NAMES]
    looked: list[int] = []
    keep = worker._give_back

    def looking(*arguments: object) -> None:
        home = waiting.root.parent / "worker"
        files = [file for folder in (home, tmp_path) for file in folder.rglob("*")]
        data = [file.read_bytes() for file in files if file.is_file()]
        assert not [word for word in words for own in data if word in own]
        objects = arguments[3].values()  # type: ignore[attr-defined]
        assert not [tail for tail in (o[-64:] for o in objects) for own in data if tail in own]
        looked.append(len(data))
        keep(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(worker, "_give_back", looking)
    finetune_by(waiting)
    assert len(looked) == len(NAMES) and min(looked) > 0


def test_a_build_that_is_stopped_takes_back_what_is_out(waiting: Workspace) -> None:
    def interrupted(errand: Errand) -> None:
        raise SilentError

    class StopError(Exception):
        pass

    class Stopping(LocalPool):
        def run_states(self, runs: Iterable[str]) -> dict[str, RunState]:
            raise StopError

    pool = Stopping(waiting.root.parent / "worker", [interrupted])
    with pytest.raises(StopError):
        assignments.finetune_elsewhere(waiting, jobs(waiting), pool, tick_seconds=0.0)
    assert pool.cancelled == [errand.assignment for errand in pool.errands]
    assert staged(waiting) == {}


@pytest.mark.slow
def test_a_build_stops_where_all_workers_are_sick(waiting: Workspace) -> None:
    with_build(waiting, shard_size=1, attempts=2, in_flight=2)

    with pytest.raises(WorkersFailedError, match="4 assignments in a row"):
        finetune_by(waiting, crash_after(0))
    assert staged(waiting) == {}
