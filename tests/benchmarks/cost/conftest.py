"""A whole run on a model of a few thousand parameters."""

from pathlib import Path

import pytest
from transformers import LlamaConfig

from benchmarks.cost.bench import Bench
from sift_core import (
    Classification,
    FinetuneSettings,
    FullWeights,
    Reading,
    encode_examples,
    load_base,
    prepare_base,
)
from tests.support.tiny import LABELS, tiny_classifier


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    source = tiny_classifier(tmp_path / "source")
    prepare_base(str(source), tmp_path / "base", LABELS, seed=0, max_length=16)
    base = load_base(tmp_path / "base", LABELS, FullWeights())
    rows = [Classification("a good film", "good"), Classification("a bad film", "bad")]
    examples = encode_examples(rows, base.tokenizer, LABELS, Reading(16))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Bench(
        base,
        [examples],
        scratch,
        members=10,
        distinct=3,
        peer_sizes=[2, 4],
        rounds=1,
        settings=FinetuneSettings(steps=2),
        causal=LlamaConfig(
            vocab_size=8,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
        ),
    )
