"""How near the disk's limit an opt-out and a rebuild come, and that a rebuild streams.

The yardstick reads the same files and writes as many bytes, flushed, in the same process and in
turn. Both sides read cold: what they read is dropped from the page cache first.
"""

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.cost.bench import Bench
from benchmarks.cost.core import expected_digest, opt_out, rebuild
from benchmarks.cost.measuring import (
    Usage,
    forget,
    in_new_process,
    measured,
    median,
    megabytes,
    typical,
)
from benchmarks.cost.stage import DIGEST_SEED, Stage
from benchmarks.figures import Figure
from sift_core import linear_digest

AIM = 0.5
CONSTANT = 64 << 20
"""What streaming may hold beside parameters: blocks on their way through the lanes, buffers of the
threads, headers, the interpreter's own growth. The same for any model and any number of vectors."""
_BUFFER = 1 << 20
_PROBE = 1 << 22

Pair = tuple[Usage, Usage]


def figures(bench: Bench) -> list[Figure]:
    """Bytes per second against plain reading and writing; memory of a rebuild."""
    stage = bench.stage
    ceilings = in_new_process(speeds)
    rounds = max(3, bench.rounds // 2)
    return [
        _near_the_disk("Opt-out", in_new_process(opt_outs, stage, bench.members, rounds), ceilings),
        _near_the_disk(
            f"Rebuild of {stage.distinct}", in_new_process(rebuilds, stage, rounds), ceilings
        ),
        _memory(bench),
    ]


def opt_outs(stage: Stage, members: int, rounds: int) -> list[Pair]:
    """An opt-out and the yardstick, in turn."""
    expected = expected_digest(stage, 0, members)
    inputs = [stage.mask(0), stage.vector(0), stage.state_file(members), stage.base]
    pairs = []
    for _ in range(rounds):
        target = stage.fresh("limit")
        forget(inputs)
        _, ours = measured(opt_out, stage, 0, members, expected, target)
        pairs.append((ours, plain(inputs, _size(target), target)))
    return pairs


def rebuilds(stage: Stage, rounds: int) -> list[Pair]:
    """A rebuild from all distinct vectors and the yardstick, in turn."""
    members = range(stage.distinct)
    inputs = stage.files(members)
    pairs = []
    for _ in range(rounds):
        target = stage.fresh("limit")
        forget(inputs)
        _, ours = measured(rebuild, stage, members, target)
        pairs.append((ours, plain(inputs, _size(target), target)))
    return pairs


def plain(inputs: Sequence[Path], written: int, target: Path) -> Usage:
    """Read files that are not cached and write as many bytes as were written, flushed."""
    forget(inputs)
    buffer = memoryview(bytearray(os.urandom(_BUFFER)))
    copy = target / "plain"

    def read_and_write() -> None:
        for path in inputs:
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass
        with copy.open("wb", buffering=0) as file:
            for start in range(0, written, _BUFFER):
                file.write(buffer[: written - start])
            os.fsync(file.fileno())

    _, usage = measured(read_and_write)
    copy.unlink()
    return usage


def speeds() -> dict[str, float]:
    """MB/s of what must be done to every byte beside moving it, one thread."""
    integers = np.arange(_PROBE, dtype=np.int64)
    taken = {}
    started = time.perf_counter()
    hashlib.sha256(integers.data).digest()
    taken["sha256_mb_per_s"] = time.perf_counter() - started
    started = time.perf_counter()
    linear_digest([("probe", integers.view(np.uint64))], DIGEST_SEED)
    taken["linear_digest_mb_per_s"] = time.perf_counter() - started
    return {name: megabytes(integers.nbytes / seconds) for name, seconds in taken.items()}


def rebuild_some(stage: Stage, members: int) -> Usage:
    """What rebuilding from so many vectors takes: a typical time of three, the highest peak.

    Read cold, as above: nobody's page cache holds all vectors.
    """
    usages = []
    for _ in range(3):
        target = stage.fresh("memory")
        forget(stage.files(range(members)))
        usages.append(measured(rebuild, stage, range(members), target)[1])
    return replace(typical(usages), peak=max(usage.peak for usage in usages))


def _near_the_disk(what: str, pairs: Sequence[Pair], ceilings: dict[str, float]) -> Figure:
    ours, disk = ([pair[side] for pair in pairs] for side in (0, 1))
    moved = typical(disk).moved
    return Figure.at_least(
        f"{what}: bytes per second, by plain read and write of the same bytes",
        median(disk) / median(ours),
        AIM,
        ours=typical(ours).as_detail(),
        plain=typical(disk).as_detail(),
        ours_mb_per_s=megabytes(moved / median(ours)),
        plain_mb_per_s=megabytes(moved / median(disk)),
        page_cache="cold for both",
        in_the_way=ceilings,
    )


def _memory(bench: Bench) -> Figure:
    stage = bench.stage
    counts = [stage.distinct, 2 * stage.distinct if bench.quick else bench.members]
    usages = {n: in_new_process(rebuild_some, stage, n) for n in counts}
    tensor = 8 * stage.largest
    allowed = 3 * tensor + CONSTANT
    return Figure.at_most(
        f"Rebuild of {counts[-1]}: peak memory, by 3 × the largest parameter's state + constant",
        usages[counts[-1]].peak / allowed,
        1,
        allowed_mb=megabytes(allowed),
        largest_parameter_state_mb=megabytes(tensor),
        constant_mb=megabytes(CONSTANT),
        whole_state_mb=megabytes(8 * stage.entries),
        files=stage.about,
        **{f"T={n}": usage.as_detail() for n, usage in usages.items()},
    )


def _size(target: Path) -> int:
    return sum(path.stat().st_size for path in target.iterdir())
