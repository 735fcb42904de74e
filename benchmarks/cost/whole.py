"""The whole commands, `sift opt-out run` and `sift build`, by how many contributors there are.

Of each size one workspace: everybody is finetuned and built, one more is added and built, a build
finds nothing to do, and one leaves by an approved request. What is compared are CPU seconds of a
command's whole process, imports included: wall time is in the detail, and other work of the machine
is in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cost.bench import Bench
from benchmarks.cost.commands import Taken, python, sift
from benchmarks.cost.population import Population, name_of
from benchmarks.figures import Figure

FIXED_CPU, NOTHING_TO_DO = 8.0, 3.0
GROWTH = {"tiny model": 1.5, "MiniLM": 1.2}
ADDING = 2.0
MEMORY = 1.1
IMPORTS = "import flows.operations.services.warm"
"""All that an opt-out, a build or an audit ever imports, and nothing done."""


@dataclass(frozen=True)
class Commands:
    """What the commands took in a workspace of one size."""

    add: Taken
    """A build with one new contributor."""
    nothing: Taken
    opt_out: Taken


def figures(bench: Bench) -> list[Figure]:
    """Of each population, by the largest and the smallest size; then what does not grow."""
    found: list[Figure] = []
    for population in bench.populations:
        taken = {size: measure(population, bench.folder, size) for size in population.sizes}
        found += [*_opt_outs(population, taken), *_builds(population, taken)]
    imports = python(IMPORTS, cwd=bench.folder)
    found.append(
        Figure.at_most(
            "CPU seconds of all imports of an opt-out",
            imports.cpu,
            FIXED_CPU,
            **imports.as_detail(),
        )
    )
    return found


def measure(population: Population, folder: Path, size: int) -> Commands:
    """Run the commands in a new workspace of so many contributors."""
    root = folder / f"{population.name.replace(' ', '-')}-{size}"
    population.make(root, size)
    sift(root, "build", "--json")
    population.add(root, [size])
    add = sift(root, "build", "--json")
    nothing = sift(root, "build", "--json")
    sift(root, "opt-out", "request", name_of(size // 2), "--basis", "gdpr-art-17", "--json")
    sift(root, "opt-out", "approve", "opt-out-0001", "--by", "bench", "--reason", "measuring")
    return Commands(add, nothing, sift(root, "opt-out", "run", "--json"))


def _opt_outs(population: Population, taken: Mapping[int, Commands]) -> list[Figure]:
    few, many = min(taken), max(taken)
    detail = {f"T={size}": commands.opt_out.as_detail() for size, commands in taken.items()}
    what = f"Whole opt-out of one of {many}, {population.name}"
    return [
        Figure.at_most(
            f"{what}: CPU time, by that of one of {few}",
            taken[many].opt_out.cpu / taken[few].opt_out.cpu,
            GROWTH[population.name],
            **detail,
        ),
        Figure.at_most(
            f"{what}: peak memory, by that of one of {few}",
            taken[many].opt_out.peak / taken[few].opt_out.peak,
            MEMORY,
        ),
    ]


def _builds(population: Population, taken: Mapping[int, Commands]) -> list[Figure]:
    few, many = min(taken), max(taken)
    return [
        Figure.at_most(
            f"Build that adds one to {many}, {population.name}: CPU time, by that to {few}",
            taken[many].add.cpu / taken[few].add.cpu,
            ADDING,
            **{f"T={size}": commands.add.as_detail() for size, commands in taken.items()},
        ),
        Figure.at_most(
            f"Build with nothing to do, {few} contributors, {population.name}: CPU seconds",
            taken[few].nothing.cpu,
            NOTHING_TO_DO,
            **{f"T={size}": commands.nothing.as_detail() for size, commands in taken.items()},
        ),
    ]
