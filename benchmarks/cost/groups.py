"""The groups of figures, in the order of the table."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from benchmarks import orchestration
from benchmarks.cost import adapters, finetuning, limits, removing, storage, whole
from benchmarks.cost.bench import Bench, real_bench
from benchmarks.cost.measuring import require_linux
from benchmarks.figures import Figure

GROUPS: dict[str, Callable[[Bench], list[Figure]]] = {
    "removing": removing.figures,
    "adapters": adapters.figures,
    "limits": limits.figures,
    "finetuning": finetuning.figures,
    "storage": storage.figures,
    "whole commands": whole.figures,
    "orchestration": lambda bench: orchestration.figures(bench.quick),
}


def measure(cache: Path, only: Sequence[str] | None, *, quick: bool) -> list[Figure]:
    """The figures of some groups, or of all. Raises typer.BadParameter for an unknown one."""
    unknown = sorted(set(only or ()) - set(GROUPS))
    if unknown:
        raise typer.BadParameter(f"no group {unknown[0]!r}: there are {', '.join(GROUPS)}")
    require_linux()
    found: list[Figure] = []
    with real_bench(cache, quick=quick) as bench:
        for name, figures in GROUPS.items():
            if only and name not in only:
                continue
            started = time.monotonic()
            found += figures(bench)
            typer.echo(f"{name}: {time.monotonic() - started:.0f} s", err=True)
    return found
