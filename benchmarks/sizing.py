"""How large a workspace gets and how long its work takes: contributors × parameters.

    python -m benchmarks.sizing                    the table, from what was measured before
    python -m benchmarks.sizing --write            into docs/reference/sizing.md, too
    python -m benchmarks.sizing --year             simulate a year of opt-outs for each size
    python -m benchmarks.sizing --lineage 100000   record and ask a real lineage store of that size

Sizes of files follow from their formats and hold to the byte; a test compares them with real files.
Times are what `make bench` measured on two quiet cores (`benchmarks/results/latest.json`), per
entry, times the entries. Nothing here is measured on a model of 7 B parameters.
"""

import random
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil, log
from pathlib import Path
from statistics import fmean, pstdev
from typing import Annotated

import numpy as np
import typer

from benchmarks import lineage as lineage_benchmark
from benchmarks.documents import put_between
from benchmarks.figures import Figure, read_figures
from tests.support.population import empty_store

RESULTS = Path(__file__).parent / "results" / "latest.json"
DOCUMENT = Path(__file__).parents[1] / "docs/reference/sizing.md"
CONTRIBUTORS = (100, 1_000, 10_000, 100_000)
BYTES_OF_MASK, BYTES_OF_MAGNITUDE, BYTES_OF_SUM, BYTES_OF_WEIGHT = 1 / 8, 2, 4, 4
LINEAGE_FIRST, LINEAGE_LATER = 5_000, 1_000
"""Bytes of the lineage file per contributor: of the first version, and of each later one.

Measured by `--lineage`; 10,000 contributors and 50 versions take 519 MB
(docs/reference/lineage.md).
"""
LEAVE_A_YEAR = 0.01
"""Share of contributors who leave within a year, of the simulation."""


@dataclass(frozen=True)
class Model:
    """What is merged: the weights a version holds for anyone, and those that finetuning trains."""

    name: str
    weights: int
    entries: int


MODELS = (
    Model("MiniLM-L6, 23 M", 22_713_986, 10_796_162),
    Model("SmolLM2, 135 M", 134_515_008, 106_203_456),
    Model("Llama 3.2, 1.2 B", 1_235_814_400, 973_146_112),
    Model("Llama 2, 6.7 B", 6_738_415_616, 6_476_271_616),
    Model("SmolLM2, adapters of rank 32", 9_768_960, 4_976_640),
    Model("Llama 2, adapters of rank 16", 39_976_960, 21_757_952),
)
"""Entries: all weights but embeddings and output head, which are frozen as in the paper; of
adapters at all linear layers, B alone. A version of these holds A, too."""


@dataclass(frozen=True)
class Rates:
    """What was measured: density, and nanoseconds per entry on two quiet cores."""

    density: float
    density_spread: float
    keep: float
    """Of one contributor: rounding, mask, digest, hashes, both files to disk."""
    opt_out: float
    """Read and check vector, mask and state; write and hash the new state and served weights."""
    rebuild: float
    """Of the state, once."""
    rebuild_vector: float
    """And of each vector."""
    memory: float
    """Bytes that adding and removing take at their peak, whatever the size."""

    @classmethod
    def measured(cls, path: Path = RESULTS) -> "Rates":
        """Take them from the figures of `make bench`."""
        detail = {figure.figure: figure.detail for figure in read_figures(path)}
        removing = detail["Removing one of 500: time, by that of one of 8"]
        entries = removing["entries"]
        densities = detail["Vector: bits per entry that moved"]["densities"]
        kept = detail["Codec, digest and hashing, by the 20 steps of a contributor"]["contributors"]
        memory = detail["Removing one of 500: peak memory, by that of one of 8"]
        rebuilt = detail[
            "Rebuild of 32: peak memory, by 3 × the largest parameter's state + constant"
        ]
        few, many = (rebuilt[f"T={count}"]["seconds"] for count in (16, 32))
        each = (many - few) / 16
        return cls(
            density=fmean(densities),
            density_spread=pstdev(densities),
            keep=fmean(one["keeping_seconds"] for one in kept) / entries * 1e9,
            opt_out=removing["T=500"]["seconds"] / entries * 1e9,
            rebuild=(few - 16 * each) / entries * 1e9,
            rebuild_vector=each / entries * 1e9,
            memory=max(one["peak_rss_mb"] for one in memory.values()) * 1e6,
        )


@dataclass(frozen=True)
class Size:
    """What one workspace takes: bytes of one copy of each thing, and seconds."""

    masks: float
    vectors: float
    state: float
    served: float
    lineage: float
    keep: float
    opt_out: float
    rebuild: float


def mask_bytes(entries: int) -> float:
    """Bytes of one mask, but for its head: a bit an entry, each parameter filled up to a byte."""
    return entries * BYTES_OF_MASK


def vector_bytes(nonzero: float) -> float:
    """Bytes of one vector, but for its head: a float16 for each entry that moved."""
    return nonzero * BYTES_OF_MAGNITUDE


def state_bytes(entries: int, contributors: int) -> float:
    """Bytes of a merge state, but for its head and padding, where its sums fit 32 bits.

    They do while |τ| < 128 / contributors in the mean, on the grid of 24 bits.
    """
    return entries * (BYTES_OF_SUM + np.min_scalar_type(contributors).itemsize)


def lineage_bytes(contributors: int, versions: int) -> float:
    """Bytes of the lineage file after so many model versions."""
    return contributors * (LINEAGE_FIRST + LINEAGE_LATER * (versions - 1))


def size(model: Model, contributors: int, rates: Rates, versions: int = 12) -> Size:
    """What a workspace of this model and so many contributors takes."""
    seconds = model.entries * 1e-9
    return Size(
        masks=contributors * mask_bytes(model.entries),
        vectors=contributors * vector_bytes(rates.density * model.entries),
        state=state_bytes(model.entries, contributors),
        served=(model.weights + model.entries) * BYTES_OF_WEIGHT,  # anyone's, and the members'
        lineage=lineage_bytes(contributors, versions),
        keep=rates.keep * seconds * contributors,
        opt_out=rates.opt_out * seconds,
        rebuild=(rates.rebuild + rates.rebuild_vector * contributors) * seconds,
    )


@dataclass(frozen=True)
class Year:
    """A year of a workspace, simulated day by day."""

    leavers: int
    runs: int
    seconds: float
    """In which opt-outs add, subtract and hash; and of the rebuild that checks each, `checking`."""
    checking: float
    freed: float
    """Bytes of vectors and masks that went."""


def year(model: Model, contributors: int, rates: Rates, seed: int = 0) -> Year:
    """Simulate a year: each day some leave, all of a day in one run that a rebuild checks."""
    chance = random.Random(seed)  # noqa: S311  a simulation
    leavers = runs = 0
    seconds = checking = freed = 0.0
    left = contributors
    for _ in range(365):
        gone = _binomial(chance, left, LEAVE_A_YEAR / 365)
        if not gone:
            continue
        left -= gone
        leavers, runs = leavers + gone, runs + 1
        of_one = size(model, 1, rates)
        now = size(model, left, rates)
        # One pass over the state takes out everyone who leaves that day.
        each = rates.rebuild_vector * model.entries * 1e-9
        seconds += now.opt_out + (gone - 1) * each
        checking += now.rebuild
        for _ in range(gone):
            density = min(1.0, max(0.0, chance.gauss(rates.density, rates.density_spread)))
            freed += of_one.masks + vector_bytes(density * model.entries)
    return Year(leavers, runs, seconds, checking, freed)


def _binomial(chance: random.Random, count: int, probability: float) -> int:
    """How many of `count` leave: counted by the gaps between them, so that few cost little."""
    found, at = 0, 0
    while True:
        at += ceil(log(1.0 - chance.random()) / log(1.0 - probability))
        if at > count:
            return found
        found += 1


def table(rates: Rates) -> str:
    """The sizes of all models and numbers of contributors, as Markdown."""
    lines = [
        "| model | contributors | masks | vectors | state | served version | lineage |"
        " keep (all) | one opt-out | rebuild |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for model in MODELS:
        for contributors in CONTRIBUTORS:
            one = size(model, contributors, rates)
            cells = [_bytes(value) for value in (one.masks, one.vectors, one.state)]
            cells += [_bytes(one.served), _bytes(one.lineage)]
            cells += [_time(value) for value in (one.keep, one.opt_out, one.rebuild)]
            lines.append(f"| {model.name} | {contributors:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def year_table(rates: Rates) -> str:
    """A simulated year of each, as Markdown."""
    lines = [
        "| model | contributors | leave | runs | opt-outs | their checks (rebuilds) | freed |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for model in MODELS:
        for contributors in CONTRIBUTORS:
            one = year(model, contributors, rates)
            cells = [str(one.leavers), str(one.runs), _time(one.seconds), _time(one.checking)]
            lines.append(
                f"| {model.name} | {contributors:,} | {' | '.join(cells)} | {_bytes(one.freed)} |"
            )
    return "\n".join(lines)


def constants(rates: Rates) -> str:
    """What the table was computed from, as Markdown."""
    rows = [
        ("density: share of entries that a finetuning moved", f"{rates.density:.3f}"),
        ("keeping one contributor, ns per entry", f"{rates.keep:.1f}"),
        ("one opt-out, ns per entry", f"{rates.opt_out:.1f}"),
        ("rebuild, ns per entry, once", f"{rates.rebuild:.1f}"),
        ("rebuild, ns per entry and vector", f"{rates.rebuild_vector:.2f}"),
        ("memory of adding and removing, MB", f"{rates.memory / 1e6:.0f}"),
        ("lineage, bytes per contributor, first version", f"{LINEAGE_FIRST:,}"),
        ("lineage, bytes per contributor, each later version", f"{LINEAGE_LATER:,}"),
    ]
    return "\n".join(
        ["| constant | value |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)]
    )


def record(contributors: int, versions: int = 2) -> Iterable[Figure]:
    """Record so many contributors into a real lineage store, ask it, and say what that took."""
    with tempfile.TemporaryDirectory(prefix="sift-sizing-") as folder:
        store = empty_store(Path(folder) / "lineage.duckdb")
        yield from lineage_benchmark.figures(store, contributors, versions)
        yield Figure.shown("megabytes by the formula", lineage_bytes(contributors, versions) / 1e6)


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} PB"


def _time(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.3g} {unit}"
    return f"{seconds:.2g} s"


def _sections(rates: Rates) -> Iterator[tuple[str, str]]:
    yield "sizing: table", table(rates)
    yield "sizing: year", year_table(rates)
    yield "sizing: constants", constants(rates)


def main(
    write: Annotated[
        bool, typer.Option(help="Write the tables into docs/reference/sizing.md.")
    ] = False,
    year: Annotated[bool, typer.Option(help="Show a simulated year of opt-outs, too.")] = False,
    lineage: Annotated[int, typer.Option(help="Record so many contributors for real.")] = 0,
) -> None:
    """Show what a workspace takes, by contributors and parameters."""
    rates = Rates.measured()
    if lineage:
        typer.echo(lineage_benchmark.table(record(lineage)))
        return
    typer.echo(table(rates))
    if year:
        typer.echo(year_table(rates))
    if write:
        for name, text in _sections(rates):
            put_between(DOCUMENT, name, text)


if __name__ == "__main__":
    typer.run(main)
