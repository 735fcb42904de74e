"""Contributors out to workers, checked vectors back: the side that alone writes lineage.

Shards are handed out as assignments, several at a time. Every tick looks for new manifests of all
of them, so work is recorded as it finishes, whatever becomes of the rest of its shard. An
assignment ends by what it gave back, by what Prefect says of its run, or because no contributor was
finished for too long; its folder in the staging area goes, and with it the wish for its results.
What is missing is handed out again.
"""

import time
from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import SystemRandom
from uuid import uuid4

import sift_bytes
from flows.integrations.staging.staging import PlantedError, RemoteAddress, Staging
from flows.progress import tracked
from flows.training.base_model import base_record, load_base
from flows.training.finetune import Job
from flows.training.workers.attendance import Attendance
from flows.training.workers.checks import Expected
from flows.training.workers.errors import WorkersFailedError
from flows.training.workers.machines import known
from flows.training.workers.messages import MANIFEST_BYTES, Assignment, BaseFile
from flows.training.workers.pool import Pool, RunState
from flows.training.workers.results import Receiver, task_of
from flows.training.workers.staging_area import clear, put_base, withdraw
from flows.training.workers.worker import InputAlteredError, UnknownMachineError
from flows.workspace.recording import Recording
from flows.workspace.workspace import Workspace
from sift_core import Grid, Kind

TICK_SECONDS = 2.0
"""How often Prefect and the staging area are asked."""
_OBJECTS_OF_ONE = 10
"""More objects of one contributor no worker gives back: manifest, vector, mask, drafts of them."""
_UNKNOWN_MACHINE = "its machine is not admitted (`sift workers describe` there, then `admit`)"
_MEND = (
    "see `sift workers quarantine` and the runs in Prefect, mend the workers, then run "
    "`sift build` again: it goes on with who is missing."
)


def finetune_elsewhere(
    workspace: Workspace,
    work: Sequence[Job],
    pool: Pool,
    flow_run_id: str | None = None,
    tick_seconds: float = TICK_SECONDS,
) -> None:
    """Have contributors finetuned by the workers of a pool; each is recorded soon after it is here.

    Raises WorkersFailedError for those that no worker did well, after all others are recorded;
    ContradictionError, StagingError, PoolError. Whatever happens, nothing is left in the staging
    area but the base model; a killed process leaves it to the next build or opt-out.
    """
    if not work:
        return
    base = load_base(workspace)
    settings = workspace.settings
    kind = Kind(base.shapes, Grid(settings.exactness.grid_bits), settings.exactness.sign_seed)
    expected = Expected(kind, base.base_id, settings.exactness.digest_seed, known(workspace))
    remote = RemoteAddress.of(workspace.dvc)
    staging = Staging(remote)
    workspace.dvc.remote.require_own(workspace.identity)
    clear(staging)
    with Recording(workspace.lineage) as recording:
        recording.add([base_record(workspace, base)])
        checked_here = SystemRandom().sample(work, min(settings.build.spot_check, len(work)))
        receiver = Receiver(
            workspace, staging, expected, base, recording, checked_here, flow_run_id
        )
        giver = _Giver(workspace, staging, remote, pool, receiver, expected, tick_seconds)
        try:
            for _ in tracked("Finetuning", giver.results(work), len(work)):
                pass
        finally:
            giver.stop()
    giver.require_done()
    receiver.require_consistent()


@dataclass
class _HandedOut:
    """An assignment that is with a worker; `open_` are the jobs whose manifests are awaited."""

    name: str
    run: str
    since: datetime
    """When it was handed out, or last gave something back."""
    open_: dict[str, Job]
    heard: float
    """When there last was a sign of progress, as `time.monotonic`."""
    run_state: str = ""
    taken: dict[str, Job] = field(default_factory=dict)
    again: list[Job] = field(default_factory=list)
    """Jobs whose results did not count."""


def _all_wait(run_states: Collection[RunState]) -> bool:
    return bool(run_states) and all(one.phase == "waiting" for one in run_states)


class _Giver:
    """Hands out, waits, hands out again."""

    def __init__(
        self,
        workspace: Workspace,
        staging: Staging,
        remote: RemoteAddress,
        pool: Pool,
        receiver: Receiver,
        expected: Expected,
        tick_seconds: float,
    ) -> None:
        self._workspace = workspace
        self._settings = workspace.settings.build
        self._staging = staging
        self._remote = remote
        self._pool = pool
        self._attendance = Attendance(pool)
        self._receiver = receiver
        self._base_id = expected.base_id
        self._machines = tuple(sorted(expected.machines))
        self._tick_seconds = tick_seconds
        self._queue: deque[list[Job]] = deque()
        self._out: list[_HandedOut] = []
        self._failures: dict[str, list[str]] = defaultdict(list)
        self._done: set[str] = set()
        self._fruitless = 0
        self._base_files: tuple[BaseFile, ...] = ()

    def results(self, work: Sequence[Job]) -> Iterator[Job]:
        """Every job as soon as it is received; those that nobody can do are left out."""
        self._put_base()
        size = self._settings.shard_size
        self._queue.extend(list(work[at : at + size]) for at in range(0, len(work), size))
        while self._queue or self._out:
            while self._queue and len(self._out) < self._settings.in_flight:
                self._out.append(self._hand_out(self._queue.popleft()))
            time.sleep(self._tick_seconds)
            yield from self._tick()

    def stop(self) -> None:
        """Take back what is out: all folders go, and its workers are told."""
        clear(self._staging)
        for handed in self._out:
            self._pool.cancel(handed.run)
        self._out = []

    def require_done(self) -> None:
        """Raise WorkersFailedError where somebody was given up."""
        limit = self._settings.attempts
        lost = {key: why for key, why in self._failures.items() if len(why) >= limit}
        lost = {key: why for key, why in lost.items() if key not in self._done}
        if lost:
            key, why = sorted(lost.items())[0]
            raise WorkersFailedError(
                f"{len(lost)} contributors have no vector after {limit} attempts each, the first "
                f"{key}: {', then '.join(why)}. All others are recorded.",
                remedy=_MEND,
            )

    def _tick(self) -> Iterator[Job]:
        run_states = self._pool.run_states(handed.run for handed in self._out)
        for handed in list(self._out):
            state = run_states[handed.run]
            try:
                progress = list(self._collect(handed))
            except PlantedError:
                self._pool.give_up(handed.run, "Its folder holds what no worker puts there.")
                self._lose(handed, "its folder held what no worker puts there")
                continue
            yield from progress
            if progress or state.phase == "waiting" or state.name != handed.run_state:
                handed.heard, handed.run_state = time.monotonic(), state.name
            if not handed.open_:
                self._end(handed)
            elif state.phase == "ended":
                if InputAlteredError.__name__ in state.detail:
                    self._put_base(afresh=True)
                unknown = UnknownMachineError.__name__ in state.detail
                self._lose(
                    handed, _UNKNOWN_MACHINE if unknown else f"its run ended as {state.name}"
                )
            elif time.monotonic() - handed.heard > self._settings.lost_after:
                why = f"no contributor was finished in {self._settings.lost_after:g} seconds"
                self._pool.give_up(handed.run, f"Lost: {why}.")
                self._lose(handed, why)
        self._receiver.settle()
        self._attendance.look(all_wait=_all_wait(run_states.values()))

    def _hand_out(self, shard: Sequence[Job]) -> _HandedOut:
        """Stage the rows, then the assignment, and have it run."""
        name = uuid4().hex
        for dataset in (job.dataset for job in shard):
            path = self._workspace.data_file(dataset.contributor_key, dataset.sha256)
            self._staging.put(f"{name}/in/{dataset.sha256}", path)
        assignment = Assignment(
            base_id=self._base_id,
            base_files=self._base_files,
            method=self._workspace.settings.method,
            tasks=tuple(map(task_of, shard)),
            machines=self._machines,
        )
        text = assignment.model_dump_json().encode()
        self._staging.put(f"{name}/assignment.json", text)
        run = self._pool.start(self._remote, name, sift_bytes.sha256_of(text), len(shard))
        awaited = {job.dataset.contributor_key: job for job in shard}
        return _HandedOut(name, run, datetime.now(UTC), awaited, time.monotonic())

    def _collect(self, handed: _HandedOut) -> Iterator[Job]:
        """Take in every new manifest of an assignment; the jobs that are done thereby."""
        most = _OBJECTS_OF_ONE * (len(handed.open_) + len(handed.taken) + len(handed.again))
        there = self._staging.list(f"{handed.name}/out", most)
        for key in [key for key in handed.open_ if f"{handed.name}/out/{key}.json" in there]:
            job = handed.open_.pop(key)
            data = self._manifest(handed, key)
            why = self._receiver.receive(job, handed.name, handed.run, data, handed.since)
            handed.since = datetime.now(UTC)
            if why is None:
                handed.taken[key] = job
                self._done.add(key)
                self._fruitless = 0
                yield job
            else:
                self._failed(job, why, handed.again)

    def _manifest(self, handed: _HandedOut, key: str) -> bytes:
        """What is under the manifest's name; cut off beyond what any manifest may be.

        Nothing, which is no manifest, where it is gone again or no file.
        """
        try:
            return self._staging.read_up_to(f"{handed.name}/out/{key}.json", MANIFEST_BYTES + 1)
        except (FileNotFoundError, PlantedError):
            return b""

    def _lose(self, handed: _HandedOut, why: str) -> None:
        """End an assignment that is not whole, and hand out the rest again.

        Workers go by the order they are given, so the contributor at whom it stopped may be the
        cause and goes alone; the others have failed at nothing.
        """
        stopped_at, *others = handed.open_.values()
        self._failed(stopped_at, why, handed.again)
        if others:
            self._queue.append(others)
        self._end(handed)

    def _failed(self, job: Job, why: str, again: list[Job]) -> None:
        failures = self._failures[job.dataset.contributor_key]
        failures.append(why)
        if len(failures) < self._settings.attempts:
            again.append(job)

    def _require_fruit(self) -> None:
        """Raise WorkersFailedError where so many assignments in a row gave nothing."""
        most = self._settings.attempts * self._settings.in_flight
        if self._fruitless >= most:
            last = list(self._failures.values())[-1][-1]
            raise WorkersFailedError(
                f"{most} assignments in a row gave nothing that counts, the last: {last}. What was "
                "done before is recorded.",
                remedy=_MEND,
            )

    def _end(self, handed: _HandedOut) -> None:
        """Let an assignment go: first what wants it, then all of it."""
        for key, job in handed.taken.items():
            self._receiver.compare(job, handed.name, handed.run, self._manifest(handed, key))
        withdraw(self._staging, handed.name)
        self._out.remove(handed)
        if handed.again:
            self._queue.append(handed.again)
        if not handed.taken:
            self._fruitless += 1
            self._require_fruit()

    def _put_base(self, *, afresh: bool = False) -> None:
        self._base_files = put_base(
            self._staging, self._workspace.base, self._base_id, afresh=afresh
        )
