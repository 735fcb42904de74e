"""`benchmarks/fidelity.yaml` as types: all settings of all experiments in one place."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

import sift_core
from flows.errors import UsageError
from flows.workspace.settings import AdapterSettings
from lineage.records import TooLong, TrainOnTurns
from sift_core.finetune_settings import Precision

SETTINGS = Path(__file__).parent.parent / "fidelity.yaml"


class Finetuning(BaseModel):
    """The budget of every finetuning, whatever the method."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train_only: tuple[str, ...] = ("*",)
    adapter: AdapterSettings | None = None
    learning_rate: Annotated[float, Field(gt=0)]
    steps: Annotated[int, Field(ge=1)] = 20
    batch_size: Annotated[int, Field(ge=1)] = 20
    seed: int = 0
    precision: Precision = "float32"

    @property
    def parameterization(self) -> sift_core.Parameterization:
        """What of the base model trains, for every method alike."""
        own = self.adapter
        if own is None:
            return sift_core.FullWeights(self.train_only)
        return sift_core.Adapter(own.rank, own.alpha, own.targets, self.seed, self.train_only)

    def of(self, contributors: int) -> sift_core.FinetuneSettings:
        """The settings of one finetuning on the rows of so many contributors.

        Each contributor's rows buy `steps` steps: central finetuning takes as many as all alone.
        """
        return sift_core.FinetuneSettings(
            learning_rate=self.learning_rate,
            steps=self.steps * contributors,
            batch_size=self.batch_size,
            full_batch_below=128 if contributors == 1 else 0,
            seed=self.seed,
            precision=self.precision,
        )


class WarmStart(BaseModel):
    """Contributors set aside as public data: their rows warm up a fresh head, nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    contributors: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1)] = 1
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4


class Experiment(BaseModel):
    """One dataset, one base model, one budget."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    data: str
    model: str
    """`minilm`, `smollm2`, or a Hugging Face id, folder or .gguf file."""
    labels: tuple[str, ...] = ()
    max_length: int = 256
    too_long: TooLong = "cut"
    train_on_turns: TrainOnTurns = "all"
    warm_start: WarmStart | None = None
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.3
    train_rows: int | None = None
    """At most so many training rows of a contributor; what is cut is said in the report."""
    test_rows: int | None = None
    scored_rows: int | None = None
    """At most so many of the training rows are scored as held-in quality."""
    sizes: tuple[int, ...]
    """T: how many contributors are merged. The last is the population that opts out."""
    scored_members: int | None = None
    """At most so many members are scored, the first ones, by every method alike."""
    leaving: tuple[float, ...] = (1, 0.1, 0.5)
    """Who leaves: a number of contributors where 1 or more, else a share."""
    scored_after_departures: int | None = None
    """After opt-outs, at most so many of who stays and of who left are scored."""
    tune_on: int = 8
    """Contributors whose training rows choose TALL's λ and Consensus' scale."""
    central_after_departures: bool = True
    """Whether central finetuning is run again for each round of opt-outs, at its full cost."""
    finetuning: Finetuning
    grid_bits: int = 24
    sign_seed: int = 20250404
    threads: Annotated[int, Field(ge=1)] = 1
    device: Literal["cpu", "cuda"] = "cpu"

    def departures(self) -> list[int]:
        """How many leave, in each round: at least one, and at least one stays."""
        population = self.sizes[-1]
        wanted = (round(x) if x >= 1 else round(population * x) for x in self.leaving)
        return sorted({min(max(left, 1), population - 1) for left in wanted} - {0})


def load(name: str, path: Path = SETTINGS) -> Experiment:
    """The experiment of that name. Raises UsageError naming those there are."""
    experiments = YAML(typ="safe").load(path)
    if name not in experiments:
        raise UsageError(
            f"There is no experiment {name!r} in {path.name}.",
            remedy=f"name one of {', '.join(experiments)}, or add yours to the file.",
        )
    return Experiment.model_validate(experiments[name])
