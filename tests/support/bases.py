"""Base models of many kinds, made in code: real architectures with a few thousand parameters."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

from tests.support import tiny

SMALL: dict[str, Any] = {
    "vocab_size": len(tiny.VOCABULARY),
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "bos_token_id": tiny.BOS,
    "eos_token_id": tiny.EOS,
    "pad_token_id": tiny.PAD,
}
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "short_factor": [1.0] * 4,
    "long_factor": [1.0, 2.0, 3.0, 4.0],
}

CAUSAL: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama, dynamic RoPE": (
        "llama",
        {"rope_parameters": DYNAMIC, "max_position_embeddings": 16},
    ),
    "phi-3, longrope": (
        "phi3",
        {"rope_parameters": LONGROPE, "original_max_position_embeddings": 16},
    ),
    "gpt-2": ("gpt2", {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}),
    "gpt-neox": ("gpt_neox", {}),
    "bloom, no positions": ("bloom", {"n_layer": 2, "n_head": 2}),
    "mamba, no attention": ("mamba", {"state_size": 4}),
    "qwen-2": ("qwen2", {"vocab_size": 80}),
    "gemma": ("gemma", {}),
    "opt": ("opt", {"ffn_dim": 32, "word_embed_proj_dim": 16}),
}
"""Causal language models: name → model type, and what its configuration has besides SMALL."""

CLASSIFIERS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", {}),
    "roberta": ("roberta", {}),
    "distilbert": ("distilbert", {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 2}),
    "deberta": ("deberta-v2", {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}),
    "llama as a classifier": ("llama", {}),
}
"""Classifiers, the same way."""


def make(folder: Path, kind: str, own: dict[str, Any], classifier: bool = False) -> Path:
    """Save a model of a type with random weights and the tests' tokenizer."""
    source = tiny.tiny_classifier(folder) if classifier else tiny.tiny_causal(folder)
    (folder / "model.safetensors").unlink()
    config = AutoConfig.for_model(kind, **{**SMALL, **own})
    auto = AutoModelForSequenceClassification if classifier else AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = auto.from_config(config)
        model.save_pretrained(folder)
    return source


def edited(folder: Path, file: str, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change a JSON file of a folder."""
    path = folder / file
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return folder
