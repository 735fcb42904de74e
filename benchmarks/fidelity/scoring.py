"""Every method scored for every member, for each number of members and each round of opt-outs."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import sift_core
from benchmarks.fidelity.finetunings import Finetunings
from benchmarks.fidelity.methods import CENTRAL, FLOAT_FORM, INDEPENDENT, METHODS, Method, Served
from benchmarks.fidelity.settings import Experiment
from flows.models.measures import SPLITS
from sift_core.scoring import Metric
from sift_core.serving import Weights

Role = Literal["member", "departed"]
Scored = tuple[str, Role, str, Metric, float, int]
"""Contributor, role, split, metric, value, rows."""


@dataclass(frozen=True)
class Round:
    """A merge of the first `size` contributors, from which the first `left` have opted out."""

    size: int
    left: int = 0

    def members(self, names: Sequence[str]) -> Sequence[str]:
        """Who is in the merge."""
        return names[self.left : self.size]

    def departed(self, names: Sequence[str]) -> Sequence[str]:
        """Who has opted out."""
        return names[: self.left]


@dataclass(frozen=True)
class ScoreRow:
    """The quality of one method for one contributor by one metric, over `rows` rows."""

    method: str
    size: int
    left: int
    contributor: str
    role: Role
    split: str
    metric: Metric
    value: float
    rows: int
    chosen: str


def rounds(experiment: Experiment) -> list[Round]:
    """All merges of an experiment: growing, then shrinking."""
    population = experiment.sizes[-1]
    return [Round(size) for size in experiment.sizes] + [
        Round(population, left) for left in experiment.departures()
    ]


def cells(experiment: Experiment) -> list[tuple[str, Round]]:
    """Every (method, round) there is to score."""
    everybody = Round(experiment.sizes[-1])
    cells = [(method, everybody) for method in INDEPENDENT]
    for moment in rounds(experiment):
        for method in METHODS.keys() - INDEPENDENT.keys():
            if moment.left and method in _not_after_departures(experiment):
                continue
            cells.append((method, moment))
    order = list(METHODS)
    # Central finetuning comes last: it alone takes as long as all the others.
    return sorted(cells, key=lambda c: (c[0] == CENTRAL, c[1].left, c[1].size, order.index(c[0])))


def _not_after_departures(experiment: Experiment) -> set[str]:
    # The float form differs from ours by rounding alone, which the rounds without opt-outs show.
    return {FLOAT_FORM} if experiment.central_after_departures else {FLOAT_FORM, CENTRAL}


class Scores:
    """The scores of an experiment, kept line by line, so a stopped run goes on where it was."""

    def __init__(self, kept: Finetunings) -> None:
        self._kept = kept
        self._path = kept.folder / "scores.jsonl"
        self.rows = _read(self._path)

    def missing(self, only: str | None = None) -> list[tuple[str, Round]]:
        """The cells that are not scored yet, of all methods or of one."""
        done = {(row.method, Round(row.size, row.left)) for row in self.rows}
        wanted = [cell for cell in cells(self._kept.experiment) if only in (None, cell[0])]
        return [cell for cell in wanted if cell not in done]

    def score(self, name: str, moment: Round) -> None:
        """Score one cell and keep it, whole."""
        method: Method = METHODS[name]
        names = self._kept.population.names
        members = moment.members(names)
        served = method(self._kept, members, self._tuning(members))
        experiment = self._kept.experiment
        scored = experiment.scored_after_departures if moment.left else experiment.scored_members
        found = self._evaluate(served, members[:scored], moment.departed(names)[:scored])
        rows = [
            ScoreRow(name, moment.size, moment.left, *result, served.chosen) for result in found
        ]
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(asdict(row)) + "\n" for row in rows))
        self.rows += rows

    def _evaluate(
        self, served: Served, members: Sequence[str], departed: Sequence[str]
    ) -> Iterator[Scored]:
        base = self._kept.population.base
        with base.serving(served.stranger()):
            for name in departed:
                yield from self._both_splits(name, "departed")
            if served.member is None:
                for name in members:
                    yield from self._both_splits(name, "member")
                return
        for name in members:
            with base.serving(served.member(name)):
                yield from self._both_splits(name, "member")

    def _both_splits(self, name: str, role: Role) -> Iterator[Scored]:
        population = self._kept.population
        for split, rows in zip(SPLITS, (population.held_in, population.held_out), strict=True):
            for score in sift_core.evaluate(population.base.model, rows[name]):
                yield name, role, split, score.metric, score.value, score.rows

    def _tuning(self, members: Sequence[str]) -> Callable[[Callable[[str], Weights]], float]:
        population = self._kept.population
        seen = members[: self._kept.experiment.tune_on]

        def quality(weights: Callable[[str], Weights]) -> float:
            values: list[float] = []  # of the first metric of a record: a share
            for name in seen:
                with population.base.serving(weights(name)) as model:
                    values.append(sift_core.evaluate(model, population.held_in[name])[0].value)
            return sum(values) / len(values)

        return quality


def _read(path: Path) -> list[ScoreRow]:
    if not path.is_file():
        return []
    return [ScoreRow(**json.loads(line)) for line in path.read_bytes().splitlines()]
