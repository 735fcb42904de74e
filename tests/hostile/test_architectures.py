"""Every architecture of docs/reference/architectures.md works, or is refused with the reason."""

import re
from pathlib import Path

import pytest

from flows.training.base_model import ensure_base, load_base
from sift_bytes import sha256_of
from sift_core import (
    Chat,
    Classification,
    Example,
    FinetuneSettings,
    Grid,
    Reading,
    SignVector,
    Text,
    encode_examples,
    finetune,
)
from sift_core.errors import ModelError
from sift_core.module_state import looks
from tests.support import tiny
from tests.support.bases import CAUSAL, CLASSIFIERS, LONGEST, Labels, make, with_base
from tests.support.paths import DOCS

WORKS = {
    **{name: (kind, own, ()) for name, (kind, own) in CAUSAL.items()},
    **{name: (kind, own, tiny.LABELS) for name, (kind, own) in CLASSIFIERS.items()},
}


def rows(labels: Labels, words: str, count: int) -> list[Example]:
    if labels:
        return [Classification(f"{words} {n % 2} {words}", labels[n % 2]) for n in range(count)]
    chat, text = Chat.of(f"{words} ?", "red as it is"), Text(f"{words} red")
    return [chat, text] * (count // 2)


SHORT, LONG = "what is the", "the film was very good " * 6


QUICK = ("BERT", "GPT-2", "Llama, dynamic RoPE", "RoBERTa")
"""What the default tests run; the others are slow ones."""


def shown() -> dict[tuple[str, str], str]:
    """What docs/reference/architectures.md says: (architecture, what trains) → what comes of it."""
    page = (DOCS / "reference" / "architectures.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| ")][1:]
    return {
        (cells[0].strip(), kind): cells[column].strip()
        for cells in rows
        for column, kind in ((2, "full weights"), (3, "adapters"))
    }


def test_the_docs_say_of_every_architecture_what_comes_of_it() -> None:
    assert {name for name, _ in shown()} == WORKS.keys()
    assert len(WORKS) >= 25


@pytest.mark.parametrize(
    ("name", "trains"),
    [
        pytest.param(name, trains, marks=() if name in QUICK else pytest.mark.slow)
        for name in WORKS
        for trains in ("full weights", "adapters")
    ],
)
def test_what_is_made_of_one_contributor_does_not_depend_on_who_was_there_before(
    root: Path, name: str, trains: str, tmp_path: Path
) -> None:
    kind, own, labels = WORKS[name]
    workspace = with_base(
        root,
        make(tmp_path / "source", kind, own, bool(labels)),
        labels,
        adapter={"rank": 2, "alpha": 4} if trains == "adapters" else None,
    )
    said = shown()[name, trains]
    if said != "works":
        with pytest.raises(ModelError, match=re.escape(said)):
            ensure_base(workspace)
        return
    ensure_base(workspace)
    base = load_base(workspace)
    encoded = [
        encode_examples(rows(labels, words, 2), base.tokenizer, labels, Reading(LONGEST))
        for words in (SHORT, LONG)
    ]

    def vector(of: int) -> str:
        how = FinetuneSettings(learning_rate=1e-2, steps=2)
        made = finetune(base, encoded[of], SignVector(1), Grid(24), how).vector
        return sha256_of(made.to_bytes())

    untouched = looks(base.model)
    short, long = vector(0), vector(1)
    assert (vector(0), vector(1), vector(1), vector(0)) == (short, long, long, short)
    base.load(base.trainable)
    assert looks(base.model) == untouched
