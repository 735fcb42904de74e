"""What the lineage store costs at size: recording a build, and an auditor's questions.

    python -m benchmarks.lineage            10,000 contributors, 50 model versions: some minutes
    python -m benchmarks.lineage --quick    a tenth of the contributors, 5 versions
    python -m benchmarks.lineage --write    the table of docs/reference/lineage.md, too

A real store with its audit log. Each version after the first has new data of 1 % of the
contributors, and every version an evaluation of every member. The time of a question is the
fastest of several, each on a connection of its own and for another contributor: opening the store
counts, and other work of the machine less than it would in a mean.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.documents import put_between
from benchmarks.figures import Figure
from lineage import ContributorRecord, LineageStore, Reader, Row
from tests.support.population import (
    BASE,
    ENVIRONMENT,
    MODEL,
    at,
    dataset,
    dataset_records,
    digests,
    empty_store,
    evaluations,
    finetuning,
    key,
    model_version,
    new_state,
    run_id,
)

DOCUMENT = Path(__file__).parents[1] / "docs/reference/lineage.md"
CONTRIBUTORS = 10_000
VERSIONS = 50
BATCH = 1_000
"""Contributors whose rows share a transaction, as `flows.workspace.recording` gathers them."""
CHANGED = 0.01
ASKED = 15
QUESTION_SECONDS = 0.1
RECORDING_SECONDS = 10.0

Question = Callable[[Reader, str], object]


@dataclass
class Clock:
    """Wall and processor seconds (of all threads) in transactions."""

    wall: float = 0.0
    processor: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what is within."""
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.processor += time.process_time() - processor


def figures(store: LineageStore, contributors: int, versions: int) -> list[Figure]:
    """Fill an empty store, ask it, and return what that took."""
    names = [f"contributor {number}" for number in range(contributors)]
    members = dict.fromkeys(names, "first")
    recording = record_build(store, members)
    later = [record_version(store, members, version) for version in range(2, versions + 1)]
    size = f"{contributors:,} contributors × {versions} versions"
    megabytes = store.path.stat().st_size / 1e6
    return [
        Figure.at_most(
            f"seconds to record a build of {contributors:,}", recording.wall, RECORDING_SECONDS
        ),
        Figure.shown("processor seconds of that, all threads", recording.processor),
        Figure.shown(
            "seconds to record a later version, 1 % new",
            statistics.median([clock.wall for clock in later] or [0.0]),
        ),
        *(
            Figure.at_most(f"seconds: {title}; {size}", ask(store, names, work), QUESTION_SECONDS)
            for title, work in questions(versions).items()
        ),
        Figure.shown(f"seconds to check the whole audit log; {size}", check(store)),
        Figure.shown(f"megabytes of the file; {size}", megabytes),
    ]


def record_build(store: LineageStore, members: dict[str, str]) -> Clock:
    """Record all contributors, finetuned and merged, as version 1."""
    clock = Clock()
    _record(store, [BASE, ENVIRONMENT], clock)
    rows = (_rows(name, data, day=1) for name, data in members.items())
    while batch := [row for own in islice(rows, BATCH) for row in own]:
        _record(store, batch, clock)
    _merge(store, members, 1, clock)
    return clock


def record_version(store: LineageStore, members: dict[str, str], version: int) -> Clock:
    """Record new data of some members, and the next version with it."""
    clock = Clock()
    changed = max(1, int(len(members) * CHANGED))
    new = list(islice(cycle(members), version * changed, (version + 1) * changed))
    members |= dict.fromkeys(new, f"v{version}")
    rows = [row for name in new for row in _rows(name, members[name], version)]
    with clock.running(), store.writer() as recorder:
        for name in new:
            for old in recorder.read.dataset_versions(key(name)):
                recorder.supersede_dataset(key(name), old.sha256, at(version))
        recorder.add_all(rows)
    _merge(store, members, version, clock)
    return clock


def questions(versions: int) -> dict[str, Question]:
    """What is asked, each about one contributor or one moment."""
    day = f"TIMESTAMP '{at(versions / 2 + 1):%Y-%m-%d %H:%M:%S}'"
    return {
        "impact of a contributor": lambda reader, name: reader.impact(key(name)),
        "models that contain a contributor, by id, in SQL": lambda reader, name: reader.sql(
            f"SELECT * FROM contributor_impact WHERE external_id = '{name}'"  # noqa: S608  ours
        ),
        "was a contributor in the served model on a day": lambda reader, name: reader.sql(
            "SELECT name, version FROM model_version_members"  # noqa: S608  ours
            f" WHERE external_id = '{name}' AND champion_from <= {day}"
            f" AND (champion_to IS NULL OR champion_to > {day})"
        ),
        "how many were in the served model on a day": lambda reader, _: reader.sql(
            "SELECT count(*) FROM model_version_members"  # noqa: S608  ours
            f" WHERE champion_from <= {day} AND (champion_to IS NULL OR champion_to > {day})"
        ),
        "is the latest version the sum of its members": lambda reader, _: reader.digest_check(
            versions
        ),
        "what differs between the first and the last version": lambda reader, _: reader.sql(
            "SELECT contributor_key, run_id, from_seq > 1 AS came FROM membership"  # noqa: S608  ours
            f" WHERE (from_seq > 1 AND from_seq <= {versions} AND (to_seq IS NULL OR to_seq >"
            f" {versions})) OR (from_seq = 1 AND to_seq <= {versions})"
        ),
    }


def ask(store: LineageStore, names: list[str], question: Question) -> float:
    """Seconds of a question, from opening the store to having the answer: the fastest asking."""
    taken = []
    for number in range(ASKED):
        started = time.perf_counter()
        with store.reader() as reader:
            question(reader, names[number * len(names) // ASKED])
        taken.append(time.perf_counter() - started)
    return min(taken)


def check(store: LineageStore) -> float:
    """Seconds to check the chain and every row. Raises RuntimeError where it finds anything."""
    started = time.perf_counter()
    with store.reader() as reader:
        findings = [one for found in reader.audit_findings().values() for one in found]
    if findings:
        raise RuntimeError(f"The audit log does not hold: {findings[0]}")
    return time.perf_counter() - started


def _rows(name: str, data: str, day: float) -> Iterator[Row]:
    if data == "first":
        yield ContributorRecord(contributor_key=key(name), external_id=name, added_at=at(day))
    yield dataset(name, data, day)
    yield dataset_records(name, data)
    yield from finetuning(name, data, day)


def _record(store: LineageStore, rows: Iterable[Row], clock: Clock) -> None:
    rows = list(rows)
    with clock.running(), store.writer() as recorder:
        recorder.add_all(rows)


def _merge(store: LineageStore, members: dict[str, str], version: int, clock: Clock) -> None:
    day, how = at(version), "rebuild" if version == 1 else "update"
    state = new_state(members, how, version)
    runs = {key(name): run_id(name, data) for name, data in members.items()}
    rows = [*digests(state, members), *evaluations(members, version, version)]
    served = model_version(state, version, version)
    with clock.running(), store.writer() as recorder:
        recorder.record_state(state, runs)
        recorder.add_all(rows)
        recorder.add(served)
        recorder.set_champion(MODEL, version, day)


def table(measured: Iterable[Figure]) -> str:
    """The figures as Markdown."""
    rows = [f"| {one.figure} | {one.value:.3f} | {one.target} |" for one in measured]
    return "\n".join(["| figure | measured | target |", "|---|---:|---:|", *rows])


def main(
    quick: Annotated[bool, typer.Option(help="A tenth of the contributors, 5 versions.")] = False,
    write: Annotated[
        bool, typer.Option(help="Write the table into docs/reference/lineage.md.")
    ] = False,
) -> None:
    """Measure what the lineage store costs at size; exit 1 where a target is missed."""
    contributors, versions = (CONTRIBUTORS // 10, 5) if quick else (CONTRIBUTORS, VERSIONS)
    with tempfile.TemporaryDirectory(prefix="sift-bench-") as folder:
        store = empty_store(Path(folder) / "lineage.duckdb")
        measured = figures(store, contributors, versions)
    shown = table(measured)
    typer.echo(shown)
    if write:
        put_between(DOCUMENT, "benchmarks.lineage", shown)
    raise typer.Exit(0 if all(figure.met for figure in measured) else 1)


if __name__ == "__main__":
    typer.run(main)
