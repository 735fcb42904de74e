"""What the figures are measured on: a base model, real contributors' rows, and a stage of files."""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from transformers import LlamaConfig

from benchmarks.assets import minilm
from benchmarks.cost.population import Population
from benchmarks.cost.stage import DIGEST_SEED, GRID, SIGN_SEED, Stage, make_stage
from flows.cli.demo import LABELS, film_reviews
from sift_bytes import md5_of, sha256_of, write_atomically
from sift_core import (
    BaseModel,
    Classification,
    Encoded,
    FinetuneSettings,
    FullWeights,
    Reading,
    SignVector,
    TaskVector,
    encode_examples,
    load_base,
    prepare_base,
)
from sift_core.finetuning import finetuned
from tests.support.tiny import tiny_classifier

_MAX_LENGTH = 64
_SMOLLM2 = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
}
_QUICK = {"learning_rate": 0.01}
"""Of the tiny model: a step that moves it."""
_FEWEST_REVIEWS = 33
_REAL_CONTRIBUTORS = 3


@dataclass(frozen=True)
class Kept:
    """What one real contributor's finetuning left, and the seconds of training and of keeping."""

    vector: TaskVector
    mask_bytes: bytes
    vector_bytes: bytes
    rows: int
    training: float
    keeping: float


@dataclass
class Bench:
    """Inputs and sizes of one run. `folder` is scratch, on the disk that is measured."""

    base: BaseModel
    contributors: Sequence[Encoded]
    folder: Path
    quick: bool = True
    members: int = 500
    distinct: int = 16
    peer_sizes: list[int] = field(default_factory=lambda: [4, 8, 16])
    peer_rounds: int = 3
    rounds: int = 5
    settings: FinetuneSettings = field(default_factory=FinetuneSettings)
    causal: LlamaConfig = field(default_factory=lambda: LlamaConfig(**_SMOLLM2))
    """Whose shapes adapters are measured in: SmolLM2-135M."""

    populations: Sequence[Population] = ()
    """Whose whole commands are measured."""

    @cached_property
    def stage(self) -> Stage:
        """Files of made-up contributors in the base model's shapes."""
        return make_stage(self.folder / "stage", self.base.shapes, self.members, self.distinct)

    @cached_property
    def kept(self) -> list[Kept]:
        """Every real contributor finetuned, and kept as `flows.training.finetune` does."""
        return [self._finetune(examples) for examples in self.contributors]

    def _finetune(self, examples: Encoded) -> Kept:
        signs = SignVector(SIGN_SEED)
        started = time.perf_counter()
        with finetuned(self.base, examples, self.settings, signs):
            trained = time.perf_counter()
            vector = TaskVector.between(self.base.trainable, self.base.parameters(), signs, GRID)
            mask_bytes, vector_bytes = vector.mask.to_bytes(), vector.to_bytes()
            for name, content in (("mask", mask_bytes), ("vector", vector_bytes)):
                write_atomically(self.folder / name, content)
                sha256_of(content)
                md5_of(content)
            vector.linear_digest(DIGEST_SEED)
            kept = time.perf_counter()
        return Kept(
            vector, mask_bytes, vector_bytes, len(examples), trained - started, kept - trained
        )


@contextmanager
def real_bench(cache: Path, *, quick: bool) -> Iterator[Bench]:
    """MiniLM and film reviews, fetched into `cache` once; scratch files are gone afterwards."""
    folder = cache / "scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        prepare_base(str(minilm(cache)), folder / "base", LABELS, seed=0, max_length=_MAX_LENGTH)
        base = load_base(folder / "base", LABELS, FullWeights())
        films = sorted(film_reviews(cache).values(), key=len)
        fit = [rows for rows in films if len(rows) >= _FEWEST_REVIEWS]
        contributors = [
            encode_examples(
                [Classification(text, label) for text, label in rows],
                base.tokenizer,
                LABELS,
                Reading(_MAX_LENGTH, "cut"),
            )
            for rows in fit[:_REAL_CONTRIBUTORS]
        ]
        bench = Bench(base, contributors, folder, quick)
        bench.populations = [
            Population("tiny model", tiny_classifier(folder / "tiny"), [10, 100, 1000], _QUICK),
            Population("MiniLM", minilm(cache), [10, 100], {"train_only": ["*.layer.5.*"]}),
        ]
        if not quick:
            bench.peer_sizes, bench.peer_rounds = [bench.members], 1
        yield bench
    finally:
        shutil.rmtree(folder, ignore_errors=True)
