"""Tiny models that are real Hugging Face folders: seconds to train, nothing to download.

Weights are random but drawn from a fixed seed, so a folder has the same bytes every time.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

LABELS = ("bad", "good")

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "<s>", "</s>")
PAD, BOS, EOS = SPECIALS.index("[PAD]"), SPECIALS.index("<s>"), SPECIALS.index("</s>")
_TEXT = """
a the is was it this that film book food place story idea day night and or not very really quite
too good bad great awful nice poor fine dull happy sad loved hated liked fresh rotten who what
where when why how you i we they my your name city colour likes lives in works as red blue green
north south . , ? !
"""
WORDS = tuple(_TEXT.split())
VOCABULARY = {token: number for number, token in enumerate(SPECIALS + WORDS)}

_HIDDEN, _LAYERS, _HEADS, _LONGEST = 16, 2, 2, 64


def tiny_classifier(folder: Path) -> Path:
    """Save a BERT encoder without a classifier head, as MiniLM comes; about 7,000 parameters."""
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=_HIDDEN,
        num_hidden_layers=_LAYERS,
        num_attention_heads=_HEADS,
        intermediate_size=2 * _HIDDEN,
        max_position_embeddings=_LONGEST,
        pad_token_id=PAD,
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer("[CLS] $0 [SEP]", ("[CLS]", "[SEP]")),
        **{"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"},
        model_max_length=_LONGEST,
    )
    return _save(folder, BertModel, config, fast)


def tiny_causal(folder: Path, chat_template: str | None = None) -> Path:
    """Save a Llama with tied embeddings, as SmolLM2 has; about 6,000 parameters."""
    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=_HIDDEN,
        num_hidden_layers=_LAYERS,
        num_attention_heads=_HEADS,
        intermediate_size=2 * _HIDDEN,
        max_position_embeddings=_LONGEST,
        tie_word_embeddings=True,
        pad_token_id=None,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    return _save(folder, LlamaForCausalLM, config, causal_tokenizer(chat_template))


def causal_tokenizer(chat_template: str | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer of `tiny_causal`: a token a word."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer("<s> $0", ("<s>",)),
        **{"unk_token": "[UNK]", "bos_token": "<s>", "eos_token": "</s>"},
        model_max_length=_LONGEST,
    )
    fast.chat_template = chat_template
    return fast


def wide_causal(folder: Path, hidden: int, layers: int) -> Path:
    """Save a Llama of any size, in float32, in shards: where memory is what is tested."""
    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        intermediate_size=4 * hidden,
        tie_word_embeddings=True,
        pad_token_id=None,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer("<s> $0", ("<s>",)),
        **{"unk_token": "[UNK]", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"},
    )
    return _save(folder, LlamaForCausalLM, config, fast, max_shard_size="50MB")


def _tokenizer(template: str, specials: Iterable[str]) -> Tokenizer:
    tokenizer = Tokenizer(WordLevel(dict(VOCABULARY), "[UNK]"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single=template, special_tokens=[(special, VOCABULARY[special]) for special in specials]
    )
    return tokenizer


def _save(
    folder: Path,
    kind: type[PreTrainedModel],
    config: BertConfig | LlamaConfig,
    tokenizer: PreTrainedTokenizerFast,
    **more: str,
) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kind(config).save_pretrained(folder, **more)
    tokenizer.save_pretrained(folder)
    return folder
