"""Who takes part: contributors of a file in our form, and the base model they start from."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import sift_core
from benchmarks.assets import MODELS
from benchmarks.fidelity.settings import Experiment
from flows.data.datasets import Dataset, split_rows
from flows.data.readers import read_rows
from flows.data.rows import kinds_for, parse_row, to_example
from flows.errors import UsageError
from sift_core import BaseModel, Encoded


@dataclass(frozen=True)
class Population:
    """The contributors in the order in which they are merged; a merge of T takes the first T."""

    base: BaseModel
    names: tuple[str, ...]
    train: dict[str, Encoded]
    held_in: dict[str, Encoded]
    """Of the training rows, those that are scored."""
    held_out: dict[str, Encoded]


def load_population(experiment: Experiment, data: Path, cache: Path) -> Population:
    """Read, split and encode the contributors; make and load the base model.

    The order is that of the SHA-256 of the names, so neither merge order nor who leaves follows
    the file. Raises UsageError where there are fewer contributors than the experiment takes.
    """
    datasets = _read(experiment, data)
    public = experiment.warm_start.contributors if experiment.warm_start else 0
    wanted = public + experiment.sizes[-1]
    if len(datasets) < wanted:
        raise UsageError(
            f"{data} has {len(datasets)} contributors, the experiment takes {wanted}.",
            remedy="lower the last of `sizes` in benchmarks/fidelity.yaml.",
        )
    torch.set_num_threads(experiment.threads)
    folder = cache / "base"
    if not folder.is_dir():
        _prepare(experiment, datasets[:public], folder, cache)
    base = sift_core.load_base(
        folder, experiment.labels, experiment.finetuning.parameterization, experiment.device
    )
    chosen = datasets[public:wanted]

    def encode(rows: list[dict[str, Any]], at_most: int | None) -> Encoded:
        # The split orders rows by digest, so the first ones are as good as drawn.
        return sift_core.encode_examples(
            [to_example(row) for row in rows[:at_most]],
            base.tokenizer,
            base.labels,
            sift_core.Reading(
                experiment.max_length, experiment.too_long, experiment.train_on_turns
            ),
        )

    train = {d.external_id: encode(d.train, experiment.train_rows) for d in chosen}
    return Population(
        base,
        tuple(train),
        train,
        {name: own.of(own.records[: experiment.scored_rows]) for name, own in train.items()},
        {d.external_id: encode(d.test, experiment.test_rows) for d in chosen},
    )


def _read(experiment: Experiment, data: Path) -> list[Dataset]:
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    kinds = kinds_for(experiment.labels)
    for _, fields in read_rows(data, kinds):
        row = parse_row(fields, kinds)
        rows[row.contributor].append(row.stored())
    datasets = [split_rows(name, "", own, experiment.held_out) for name, own in rows.items()]
    return sorted(datasets, key=lambda d: hashlib.sha256(d.external_id.encode()).digest())


def _prepare(experiment: Experiment, public: list[Dataset], folder: Path, cache: Path) -> None:
    source = experiment.model
    if source in MODELS:
        source = str(MODELS[source](cache.parent))
    warm_start = None
    if experiment.warm_start:
        warm_start = sift_core.WarmStart(
            [to_example(row) for dataset in public for row in (*dataset.train, *dataset.test)],
            experiment.warm_start.epochs,
            experiment.warm_start.learning_rate,
        )
    unfinished = folder.with_name("base.writing")
    sift_core.prepare_base(
        source,
        unfinished,
        experiment.labels,
        experiment.finetuning.seed,
        experiment.max_length,
        warm_start,
    )
    unfinished.rename(folder)
