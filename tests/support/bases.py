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

from flows.workspace.settings_file import write_settings
from flows.workspace.workspace import Workspace
from flows.workspace.workspace import template as template_file
from tests.support import tiny
from tests.support.workspaces import settings

LONGEST = 40
"""Tokens: past the 16 that some of these bases were made for."""

Labels = tuple[str, ...]

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

GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
EXPERTS = {"num_local_experts": 2, "num_experts": 2, "num_experts_per_tok": 1}

CAUSAL: dict[str, tuple[str, dict[str, Any]]] = {
    "Bloom": ("bloom", {"n_layer": 2, "n_head": 2}),
    "Cohere": ("cohere", {}),
    "Falcon": ("falcon", {"multi_query": False}),
    "Falcon, ALiBi": ("falcon", {"alibi": True, "multi_query": False}),
    "Gemma": ("gemma", {}),
    "Gemma 2": ("gemma2", {"query_pre_attn_scalar": 8, "sliding_window": 8}),
    "Gemma 3": ("gemma3_text", {"query_pre_attn_scalar": 8, "sliding_window": 8}),
    "GPT-2": ("gpt2", GPT2),
    "GPT-BigCode": ("gpt_bigcode", GPT2),
    "GPT-J": ("gptj", {**GPT2, "rotary_dim": 4}),
    "GPT-Neo": (
        "gpt_neo",
        {"num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]]},
    ),
    "GPT-NeoX": ("gpt_neox", {}),
    "Granite": ("granite", {}),
    "Llama": ("llama", {}),
    "Llama, dynamic RoPE": (
        "llama",
        {"rope_parameters": DYNAMIC, "max_position_embeddings": 16},
    ),
    "Mamba": ("mamba", {"state_size": 4}),
    "Mistral": ("mistral", {"sliding_window": 8}),
    "Mixtral": ("mixtral", EXPERTS),
    "MPT": ("mpt", {"d_model": 16, "n_heads": 2, "n_layers": 2, "max_seq_len": 64}),
    "OLMo 2": ("olmo2", {}),
    "OLMoE": ("olmoe", EXPERTS),
    "OPT": ("opt", {"ffn_dim": 32, "word_embed_proj_dim": 16}),
    "Phi": ("phi", {}),
    "Phi-3, longrope": (
        "phi3",
        {"rope_parameters": LONGROPE, "original_max_position_embeddings": 16},
    ),
    "Qwen2": ("qwen2", {"vocab_size": 80}),
    "Qwen3": ("qwen3", {}),
    "RWKV": ("rwkv", {"attention_hidden_size": 16, "context_length": 64}),
    "SmolLM3": ("smollm3", {}),
    "StableLM": ("stablelm", {}),
    "StarCoder2": ("starcoder2", {}),
    "XGLM": ("xglm", {"d_model": 16, "ffn_dim": 32, "num_layers": 2, "attention_heads": 2}),
}
"""Causal language models: name → model type, and what its configuration has besides SMALL."""

CLASSIFIERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ALBERT": ("albert", {"embedding_size": 16}),
    "BERT": ("bert", {}),
    "DeBERTa": ("deberta", {}),
    "DeBERTa-v2": ("deberta-v2", {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}),
    "DistilBERT": ("distilbert", {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 2}),
    "ELECTRA": ("electra", {"embedding_size": 16}),
    "FNet": ("fnet", {}),
    "GPT-2 as a classifier": ("gpt2", GPT2),
    "Llama as a classifier": ("llama", {}),
    "ModernBERT": ("modernbert", {"global_attn_every_n_layers": 2, "local_attention": 8}),
    "MPNet": ("mpnet", {}),
    "RoBERTa": ("roberta", {}),
    "RoFormer": ("roformer", {"embedding_size": 16}),
    "XLM-RoBERTa": ("xlm-roberta", {}),
}
"""Classifiers, the same way."""


_WITHOUT = {("falcon", "head_dim")}
"""What a configuration derives and does not take."""


def make(folder: Path, kind: str, own: dict[str, Any], classifier: bool = False) -> Path:
    """Save a model of a type with random weights and the tests' tokenizer."""
    source = tiny.tiny_classifier(folder) if classifier else tiny.tiny_causal(folder)
    (folder / "model.safetensors").unlink()
    small = {name: value for name, value in SMALL.items() if (kind, name) not in _WITHOUT}
    config = AutoConfig.for_model(kind, **{**small, **own})
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


def with_base(
    root: Path,
    source: Path,
    labels: Labels,
    *,
    streamed: bool = False,
    adapter: dict[str, int] | None = None,
) -> Workspace:
    """The workspace at `root` as it would be with another base."""
    wanted = settings(source, labels)
    if adapter is not None:
        wanted["finetune"]["adapter"] = adapter
    wanted["base"].update(max_length=LONGEST, streamed=streamed)
    wanted["removal_audit"]["relearning_steps"] = 0 if streamed else 1
    write_settings(template_file("params.yaml"), root / "params.yaml", wanted)
    return Workspace.open(root)
