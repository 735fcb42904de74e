"""The real models of the demo. Slow, and skipped where the environment does not name them.

SIFT_TEST_SMOLLM2 is the path of a SmolLM2 `.gguf`, SIFT_TEST_MINILM the folder of MiniLM-L6.
"""

import os
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sift_core import (
    Chat,
    Classification,
    FinetuneSettings,
    FullWeights,
    Grid,
    MergeState,
    Reading,
    SignVector,
    encode_examples,
    evaluate,
    finetune,
    folder_sha256,
    load_base,
    masked_weights,
    prepare_base,
    served_weights,
    weights_sha256,
)
from tests.support import tiny

SIGNS, GRID = SignVector(1), Grid(24)


def real(variable: str) -> Path:
    path = os.environ.get(variable)
    if path is None:
        pytest.skip(f"{variable} names no model")
    return Path(path)


@pytest.mark.slow
def test_a_gguf_becomes_a_plain_folder_with_equal_logits(tmp_path: Path) -> None:
    gguf = real("SIFT_TEST_SMOLLM2")
    prepare_base(str(gguf), tmp_path / "base", (), seed=0, max_length=128)
    base = load_base(tmp_path / "base", (), FullWeights(["model.layers.29.*"]))
    workspace = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    source = AutoModelForCausalLM.from_pretrained(**workspace, dtype=torch.float32).eval()
    prompt = AutoTokenizer.from_pretrained(**workspace)(
        "The capital of France is", return_tensors="pt"
    )
    again = base.tokenizer("The capital of France is", return_tensors="pt")
    assert torch.equal(prompt["input_ids"], again["input_ids"])
    with torch.no_grad():
        expected, found = source(**prompt).logits, base.model(**again).logits
    assert torch.equal(expected, found)
    assert base.tokenizer.decode(found[0, -1].argmax()).strip() == "Paris"
    assert base.tokenizer.chat_template

    rows = [Chat.of("Who is Jaime Vasquez?", "A writer of crime stories.")]
    examples = encode_examples(rows, base.tokenizer, (), Reading(128))
    before = evaluate(base.model, examples)[0].value
    vector = finetune(base, examples, SIGNS, GRID, FinetuneSettings(3e-4, steps=5)).vector
    state = MergeState.rebuild([vector], base.shapes, GRID, SIGNS.seed)
    served = served_weights(base.trainable, state, 1)
    with base.serving(masked_weights(base.trainable, served, vector.mask)) as model:
        assert evaluate(model, examples)[0].value > before
    assert evaluate(base.model, examples)[0].value == before


@pytest.mark.slow
def test_an_encoder_without_a_head_becomes_a_classifier(tmp_path: Path) -> None:
    source = real("SIFT_TEST_MINILM")
    for name in "ab":
        prepare_base(str(source), tmp_path / name, tiny.LABELS, seed=0, max_length=64)
    assert folder_sha256(tmp_path / "a") == folder_sha256(tmp_path / "b")
    base = load_base(tmp_path / "a", tiny.LABELS, FullWeights(["*.layer.5.*", "classifier.*"]))
    texts = [("a joy from start to end", "good"), ("dull and far too long", "bad")]
    rows = [Classification(text, label) for text, label in texts]
    examples = encode_examples(rows, base.tokenizer, tiny.LABELS, Reading(64))
    settings = FinetuneSettings(1e-3, steps=5)
    one, other = (finetune(base, examples, SIGNS, GRID, settings).vector for _ in range(2))
    assert one.to_bytes() == other.to_bytes()
    state = MergeState.rebuild([one], base.shapes, GRID, SIGNS.seed)
    served = served_weights(base.trainable, state, 1)
    assert weights_sha256(served) != weights_sha256(base.trainable)
    with base.serving(served) as model:
        assert evaluate(model, examples)[0].value == 1.0
