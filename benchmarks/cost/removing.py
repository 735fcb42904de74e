"""Removing one of T: no more at 500 than at 8, and against what the peers must rebuild."""

import numpy as np

from benchmarks.cost import rebuilding
from benchmarks.cost.bench import Bench
from benchmarks.cost.core import expected_digest, opt_out
from benchmarks.cost.measuring import Usage, in_new_process, measured, median, megabytes, typical
from benchmarks.cost.stage import Stage
from benchmarks.figures import Figure

FEW = 8
TIME_LIMIT = 1.2
MEMORY_LIMIT = 1.2
PEERS_TARGET = 250
PAPER = {"central": 500, "TIES": 500, "TALL": 500, "EMR": 500, "FT+Merge": 1, "SIFT-Masks": 1}
"""Finetunings to remove one of 500, as the paper counts (arXiv 2504.04626, cost of unlearning)."""


def figures(bench: Bench) -> list[Figure]:
    """Time and memory at T = 500 against T = 8, then each peer against us."""
    stage, many = bench.stage, bench.members
    alternated = in_new_process(removals, stage, [FEW, many], bench.rounds)
    few_usage, many_usage = (typical(alternated[members]) for members in (FEW, many))
    alone = {n: in_new_process(removals, stage, [n], 1)[n][0] for n in (FEW, many)}
    about = {"entries": stage.entries, "rounds": bench.rounds, "files": stage.about}
    both = {
        f"T={FEW}": few_usage.as_detail(),
        f"T={many}": many_usage.as_detail(),
    }
    return [
        Figure.at_most(
            f"Removing one of {many}: time, by that of one of {FEW}",
            median(alternated[many]) / median(alternated[FEW]),
            TIME_LIMIT,
            **both,
            **about,
        ),
        Figure.at_most(
            f"Removing one of {many}: peak memory, by that of one of {FEW}",
            alone[many].peak / alone[FEW].peak,
            MEMORY_LIMIT,
            **{f"T={n}": usage.as_detail() for n, usage in alone.items()},
        ),
        Figure.at_most(
            f"Removing one of {many}: finetunings",
            0,
            0,
            paper=PAPER,
            ours={"vectors kept": 0, "masks only": 1},
        ),
        *_against_peers(bench, many_usage),
    ]


def removals(stage: Stage, counts: list[int], rounds: int) -> dict[int, list[Usage]]:
    """Remove member 0 from states of so many members, in turn; the usages by count.

    A first turn that is not counted fills the page cache. What is written has a new name, as in
    an opt-out: to replace a file is to free it, too.
    """
    expected = {n: expected_digest(stage, 0, n) for n in counts}
    usages: dict[int, list[Usage]] = {n: [] for n in counts}
    for turn in range(rounds + 1):
        for n in counts:
            _, usage = measured(opt_out, stage, 0, n, expected[n], stage.fresh("removal"))
            if turn or rounds == 1:
                usages[n].append(usage)
    return usages


def _against_peers(bench: Bench, ours: Usage) -> list[Figure]:
    return [_against(bench, name, ours) for name in rebuilding.PEERS]


def _against(bench: Bench, name: str, ours: Usage) -> Figure:
    """CPU time of a peer that rebuilds, by ours; in the detail that of one granted its caches."""
    cpu, detail = {}, {}
    for way, granted in (("rebuilt", False), ("granted", True)):
        found = in_new_process(
            rebuilding.usages, bench.stage, name, bench.peer_sizes, granted, bench.peer_rounds
        )
        cpu[way], how = _at(bench.members, {n: usage.cpu for n, usage in found.items()})
        moved, _ = _at(bench.members, {n: float(usage.moved) for n, usage in found.items()})
        detail[way] = {
            "cpu_ratio": round(cpu[way] / ours.cpu, 1),
            "moved_ratio": round(moved / ours.moved, 1),
            "cpu_seconds": round(cpu[way], 1),
            "moved_mb": megabytes(moved),
            "how": how,
            **{f"T={n}": usage.as_detail() for n, usage in found.items()},
        }
    return Figure.at_least(
        f"Removing one of {bench.members}: CPU time of {name} rebuilt, by ours",
        cpu["rebuilt"] / ours.cpu,
        PEERS_TARGET,
        ours=ours.as_detail(),
        **detail,
    )


def _at(members: int, values: dict[int, float]) -> tuple[float, str]:
    """A value at `members`: as measured there, else on the line through what was measured."""
    if members in values:
        return values[members], f"measured at T={members}"
    slope, start = np.polyfit(list(values), list(values.values()), 1)
    sizes = ", ".join(map(str, values))
    return float(slope * members + start), f"line through T = {sizes}, taken at T = {members}"
