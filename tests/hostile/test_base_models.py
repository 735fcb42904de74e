"""Whoever publishes a base model: it works from end to end, or is refused when the base is made."""

import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from flows.serving import tryout
from flows.training.base_model import AlteredBaseError, ensure_base, load_base
from flows.workspace.workspace import Workspace
from sift_core import (
    Example,
    Reading,
    encode_examples,
    folder_sha256,
)
from sift_core.errors import DataError, ModelError
from sift_core.examples import Chat, said
from tests.support import tiny
from tests.support.bases import LONGEST, Labels, edited, make, with_base


def causal(kind: str = "llama", **own: Any) -> Callable[[Path], tuple[Path, Labels]]:
    return lambda folder: (make(folder, kind, own), ())


def classifier(kind: str = "bert", **own: Any) -> Callable[[Path], tuple[Path, Labels]]:
    return lambda folder: (make(folder, kind, own, classifier=True), tiny.LABELS)


def changed(
    made: Callable[[Path], tuple[Path, Labels]], file: str, **values: Any
) -> Callable[[Path], tuple[Path, Labels]]:
    """A base with other values in one of its JSON files; None takes a value away."""

    def change(content: dict[str, Any]) -> None:
        content.update(values)
        for name, value in values.items():
            if value is None:
                del content[name]

    def make_changed(folder: Path) -> tuple[Path, Labels]:
        source, labels = made(folder)
        return edited(source, file, change), labels

    return make_changed


def template(text: str) -> Callable[[Path], tuple[Path, Labels]]:
    return lambda folder: (tiny.tiny_causal(folder, chat_template=text), ())


def spoiled(value: float) -> Callable[[Path], tuple[Path, Labels]]:
    def make_spoiled(folder: Path) -> tuple[Path, Labels]:
        source = tiny.tiny_causal(folder)
        weights = load_file(source / "model.safetensors")
        weights["model.layers.1.mlp.up_proj.weight"][0, 0] = value
        save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
        return source, ()

    return make_spoiled


NO_END = {"eos_token": None}
NAMES = {"id2label": {"0": "good", "1": "bad"}, "label2id": {"good": 0, "bad": 1}}
THREE = {"id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1, "c": 2}}

CASES: dict[str, tuple[Callable[[Path], tuple[Path, Labels]], str]] = {
    "no end token": (changed(causal(), "tokenizer_config.json", **NO_END), "no end token"),
    "no pad and no end token": (
        changed(classifier(), "tokenizer_config.json", pad_token=None),
        "neither a pad nor an end token",
    ),
    "a tokenizer larger than the embedding": (
        causal(vocab_size=30, bos_token_id=4, eos_token_id=5),
        r"numbers up to 71, its embedding has 30 rows",
    ),
    "a template that refuses users": (
        template("{{ raise_exception('Only tools may speak') }}"),
        "Only tools may speak",
    ),
    "a template that is none": (template("{% for %}"), "Expected an expression"),
    "a template that divides by zero": (template("{{ 1 // 0 }}"), "ZeroDivisionError"),
    "a template that says nothing": (template("{# #}"), "leaves no token"),
    "a head for several classes at once": (
        classifier(problem_type="multi_label_classification"),
        "multi_label_classification",
    ),
    "a head that is a regression": (classifier(problem_type="regression"), "'regression'"),
    "a trained head with its classes in another order": (
        changed(classifier(), "config.json", **NAMES),
        r"trained for the classes \['good', 'bad'\].*base\.labels are \['bad', 'good'\]",
    ),
    "a trained head with another number of classes": (classifier(num_labels=3), "does not load"),
    "fewer positions than base.max_length": (
        classifier(max_position_embeddings=32),
        f"base.max_length is {LONGEST}, this base model has 32 positions",
    ),
    "positions that begin later than they say": (
        classifier("roberta", max_position_embeddings=LONGEST),
        f"cannot be scored on a text of {LONGEST} tokens",
    ),
    "a model type of another release": (
        changed(causal(), "config.json", model_type="llama-9"),
        "llama-9",
    ),
    "a configuration of another release": (
        changed(causal(), "config.json", num_attention_heads="two"),
        "num_attention_heads",
    ),
    "RoPE of another release": (
        changed(causal(), "config.json", rope_parameters={"rope_type": "spiral"}),
        "spiral",
    ),
    "a tokenizer of another release": (
        changed(causal(), "tokenizer.json", model={"type": "Telepathy"}),
        "does not load",
    ),
    "a tokenizer whose words are no table": (
        changed(causal(), "tokenizer.json", model=None),
        "does not load",
    ),
    "weights that are NaN": (spoiled(float("nan")), "NaN or infinite.*up_proj"),
    "weights that are infinite": (spoiled(float("inf")), "NaN or infinite.*up_proj"),
    "experts that are stored under other names than they have": (
        causal("mixtral", num_local_experts=2, num_experts_per_tok=1),
        r"stores 'model\.layers\.0\.mlp\.gate\.weight' under another name",
    ),
    "a template with a clock that cannot be stopped": (
        template("{% set now = strftime_now %}{{ now('%d') }} {{ messages[0].content }}"),
        "reads the clock in a way that cannot be fixed",
    ),
    "an encoder without a language model's head": (
        lambda folder: (make(folder, "bert", {}, classifier=True), ()),
        "lacks",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_base_that_cannot_work_is_refused_in_one_line_that_names_the_cause(
    root: Path, case: str, tmp_path: Path
) -> None:
    made, words = CASES[case]
    workspace = with_base(root, *made(tmp_path / "source"))
    before = folder_sha256(workspace.base), (workspace.root / "base.json").read_bytes()
    with pytest.raises(ModelError) as refused:
        ensure_base(workspace)
    assert re.search(words, str(refused.value))
    assert "\n" not in str(refused.value)
    assert refused.value.remedy
    assert (folder_sha256(workspace.base), (workspace.root / "base.json").read_bytes()) == before


@pytest.mark.parametrize(("change", "refused"), [(0.5, True), (1e-7, False)])
def test_weights_for_members_that_answer_otherwise_are_refused_and_rounding_is_not(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: float, refused: bool
) -> None:
    really_masked = tryout.masked_weights

    def masked(base: Any, shared: Any, mask: Any) -> Any:
        changed = {name: own * (1 + change) for name, own in shared.items()}
        return really_masked(base, changed, mask)

    monkeypatch.setattr(tryout, "masked_weights", masked)
    monkeypatch.setattr(
        "flows.training.base_model._TRIED", set()
    )  # what was tried is not tried again
    workspace = with_base(root, *classifier()(tmp_path / "source"))
    said = pytest.raises(ModelError, match="answers otherwise") if refused else nullcontext()
    with said:
        ensure_base(workspace)


def test_a_forward_pass_whose_trace_cannot_be_put_back_is_refused_by_name(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counter in an object of its own, as a cache of some architecture might be."""
    from transformers.models.llama.modeling_llama import LlamaMLP

    class Counter:
        def __init__(self) -> None:
            self.calls = 0

    forward, make_module = LlamaMLP.forward, LlamaMLP.__init__

    def made(self: Any, config: Any) -> None:
        make_module(self, config)
        self.counter = Counter()

    def counting(self: Any, x: torch.Tensor) -> torch.Tensor:
        self.counter.calls += 1
        return forward(self, x)

    monkeypatch.setattr(LlamaMLP, "__init__", made)
    monkeypatch.setattr(LlamaMLP, "forward", counting)
    monkeypatch.setattr("flows.training.base_model._TRIED", set())
    workspace = with_base(root, tiny.tiny_causal(tmp_path / "source"), ())
    with pytest.raises(ModelError, match=r"trace in 'model\.layers\.0\.mlp\.counter'"):
        ensure_base(workspace)


def test_a_trace_that_does_not_show_is_refused_by_what_it_does(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside of the model, in a cache of a library."""
    from transformers.models.llama.modeling_llama import LlamaMLP

    seen: list[int] = []
    forward = LlamaMLP.forward

    def remembering(self: Any, x: torch.Tensor) -> torch.Tensor:
        seen.append(x.shape[1])
        return forward(self, x) * (1 + 1e-3 * max(seen))

    monkeypatch.setattr(LlamaMLP, "forward", remembering)
    monkeypatch.setattr("flows.training.base_model._TRIED", set())
    workspace = with_base(root, tiny.tiny_causal(tmp_path / "source"), ())
    with pytest.raises(ModelError, match="a trace that does not show"):
        ensure_base(workspace)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_base_of_which_nothing_can_be_copied_serves_members_all_the_same(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    """A module may hold what cannot be copied, or copies ill: members are served without a copy."""
    from transformers.models.llama.modeling_llama import LlamaMLP

    def own(self: Any, memo: dict[int, Any]) -> Any:
        raise TypeError("cannot pickle a handle")

    monkeypatch.setattr(LlamaMLP, "__deepcopy__", own, raising=False)
    monkeypatch.setattr("flows.training.base_model._TRIED", set())
    workspace = with_base(root, tiny.tiny_causal(tmp_path / "source"), (), streamed=streamed)
    ensure_base(workspace)


def test_a_template_that_refuses_one_role_is_a_base_that_works(root: Path, tmp_path: Path) -> None:
    """The rows that have the role are refused where they come in: `test_unreadable_rows`."""
    text = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('No system') }}"
        "{% endif %}{{ m.content }}{% endfor %}"
    )
    workspace = with_base(root, tiny.tiny_causal(tmp_path / "source", chat_template=text), ())
    ensure_base(workspace)
    base = load_base(workspace)
    asked: Example = Chat(
        (said("system", "be good"), said("user", "who ?"), said("assistant", "you"))
    )
    with pytest.raises(DataError, match="No system"):
        encode_examples([asked], base.tokenizer, (), Reading(LONGEST))


def test_a_date_that_the_template_prints_is_recorded_beside_the_base(
    root: Path, tmp_path: Path
) -> None:
    text = "{{ strftime_now('%d %b %Y') }} {{ messages[0].content }}"
    workspace = with_base(root, tiny.tiny_causal(tmp_path / "source", chat_template=text), ())
    ensure_base(workspace)
    path = workspace.root / "base.json"
    recorded = json.loads(path.read_text())
    assert recorded["chat_template_clock"] == "2024-07-26T00:00:00+00:00"
    load_base(workspace)
    path.write_text(json.dumps({**recorded, "chat_template_clock": "2030-01-01T00:00:00+00:00"}))
    with pytest.raises(Exception, match="made from other settings"):
        load_base(workspace)
    ensure_base(workspace)
    assert json.loads(path.read_text()) == recorded


def test_a_base_that_was_altered_on_the_disk_is_not_built_on(
    root: Path, tiny_classifier: Path
) -> None:
    workspace = with_base(root, tiny_classifier, tiny.LABELS)
    ensure_base(workspace)
    weights = workspace.base / "model.safetensors"
    made = weights.read_bytes()
    weights.write_bytes(made[:-1] + bytes([made[-1] ^ 1]))
    with pytest.raises(AlteredBaseError, match="says was made"):
        ensure_base(Workspace.open(workspace.root))

    weights.write_bytes(made)
    ensure_base(Workspace.open(workspace.root))
