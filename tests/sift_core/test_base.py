"""The base model is a plain folder with an id, and says what finetuning may move."""

import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from sift_core import (
    BaseModel,
    Classification,
    FullWeights,
    Reading,
    WarmStart,
    encode_examples,
    evaluate,
    folder_sha256,
    load_base,
    prepare_base,
    stream_base,
    weights_sha256,
)
from sift_core.errors import DataError, ModelError
from tests.support import tiny

PUBLIC = [Classification("good great nice", "good"), Classification("bad awful poor", "bad")]


def test_the_same_arguments_give_the_same_folder(tiny_classifier: Path, tmp_path: Path) -> None:
    for name, seed in {"a": 1, "b": 1, "c": 2}.items():
        torch.rand(5)
        prepare_base(str(tiny_classifier), tmp_path / name, tiny.LABELS, seed, 32)
    assert folder_sha256(tmp_path / "a") == folder_sha256(tmp_path / "b")
    assert folder_sha256(tmp_path / "a") != folder_sha256(tmp_path / "c")  # another head


def test_the_folder_is_one_that_plain_from_pretrained_loads(
    classifier: BaseModel, causal: BaseModel
) -> None:
    for base, kind in (
        (classifier, AutoModelForSequenceClassification),
        (causal, AutoModelForCausalLM),
    ):
        plain = kind.from_pretrained(base.folder)
        assert weights_sha256(plain.state_dict()) == weights_sha256(base.model.state_dict())
        assert AutoTokenizer.from_pretrained(base.folder).pad_token is not None
    assert plain.config.id2label == {0: "LABEL_0", 1: "LABEL_1"}
    assert classifier.model.config.id2label == dict(enumerate(tiny.LABELS))


def test_a_prepared_base_keeps_the_weights_it_was_made_from(
    tiny_causal: Path, causal: BaseModel
) -> None:
    source = AutoModelForCausalLM.from_pretrained(tiny_causal)
    assert weights_sha256(source.state_dict()) == weights_sha256(causal.model.state_dict())


COMMITS = ("1" * 40, "2" * 40)


@pytest.fixture
def hub(tiny_causal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a model that was fetched at two commits, of which the second is the newest."""
    folder = tmp_path / "hub" / "models--org--name"
    for number, commit in enumerate(COMMITS):
        shutil.copytree(tiny_causal, folder / "snapshots" / commit)
        path = folder / "snapshots" / commit / "model.safetensors"
        weights = load_file(path)
        weights["model.norm.weight"] += number
        save_file(weights, path, metadata={"format": "pt"})
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMITS[1])
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return "org/name"


@pytest.mark.parametrize(("revision", "number"), [(None, 1), (COMMITS[0], 0), (COMMITS[1], 1)])
def test_a_model_of_the_hub_is_fetched_at_its_commit_and_which_that_is_is_told(
    hub: str, tmp_path: Path, revision: str | None, number: int
) -> None:
    made = tmp_path / "base"
    commit = prepare_base(hub, made, (), seed=0, max_length=32, revision=revision)
    assert commit == COMMITS[number]
    fetched = tmp_path / "hub" / "models--org--name" / "snapshots" / COMMITS[number]
    found, expected = (load_file(each / "model.safetensors") for each in (made, fetched))
    assert weights_sha256(found) == weights_sha256(expected)


def test_a_commit_pins_nothing_of_a_folder(tiny_causal: Path, tmp_path: Path) -> None:
    assert prepare_base(str(tiny_causal), tmp_path / "a", (), 0, 32) is None
    with pytest.raises(ModelError, match=r"base\.revision is .* set base\.revision to null"):
        prepare_base(str(tiny_causal), tmp_path / "b", (), 0, 32, revision=COMMITS[0])


def test_the_id_sees_every_byte_and_name(classifier_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(classifier_folder, tmp_path / "base")
    one = folder_sha256(folder)
    assert (
        one
        == folder_sha256(classifier_folder)
        == load_base(folder, tiny.LABELS, FullWeights()).base_id
    )
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    other = folder_sha256(folder)
    (folder / "tokenizer.json").rename(folder / "other.json")
    assert len({one, other, folder_sha256(folder)}) == 3


def test_embeddings_and_the_language_models_head_are_frozen(
    classifier: BaseModel, causal: BaseModel, tmp_path: Path
) -> None:
    for base in (classifier, causal):
        frozen = {name for name, _ in base.model.named_parameters()} - set(base.trainable)
        assert frozen and all("embed" in name for name in frozen)
        for name, parameter in base.model.named_parameters():
            assert parameter.requires_grad == (name in base.trainable)
        assert (
            base.entries
            > base.trainable_entries
            == sum(torch.Size(shape).numel() for shape in base.shapes.values())
        )
    untied = AutoModelForCausalLM.from_pretrained(causal.folder)
    untied.config.tie_word_embeddings = False
    untied.lm_head.weight = torch.nn.Parameter(untied.lm_head.weight.detach().clone())
    untied.save_pretrained(tmp_path)
    causal.tokenizer.save_pretrained(tmp_path)
    base = load_base(tmp_path, (), FullWeights())
    assert "lm_head.weight" in dict(base.model.named_parameters())
    assert set(base.trainable) == set(causal.trainable)


def test_patterns_choose_what_trains(classifier_folder: Path, classifier: BaseModel) -> None:
    base = load_base(classifier_folder, tiny.LABELS, FullWeights(["*.layer.1.*", "classifier.*"]))
    assert set(base.trainable) == {
        name for name in classifier.trainable if ".layer.1." in name or "classifier." in name
    }


@pytest.mark.parametrize("patterns", [[], ["nothing.like.it"], ["*word_embeddings*"]])
def test_nothing_to_train_is_an_error(classifier_folder: Path, patterns: list[str]) -> None:
    with pytest.raises(ModelError, match=r"No parameter outside.*finetune\.train_only"):
        load_base(classifier_folder, tiny.LABELS, FullWeights(patterns))


def test_a_warm_start_changes_the_base_the_same_way_each_time(
    tiny_classifier: Path, classifier_folder: Path, tmp_path: Path
) -> None:
    start = WarmStart(PUBLIC * 8, epochs=10, learning_rate=1e-2)
    for name in "ab":
        prepare_base(str(tiny_classifier), tmp_path / name, tiny.LABELS, 3, 32, start)
    assert folder_sha256(tmp_path / "a") == folder_sha256(tmp_path / "b")
    assert folder_sha256(tmp_path / "a") != folder_sha256(classifier_folder)
    warm = load_base(tmp_path / "a", tiny.LABELS, FullWeights())
    examples = encode_examples(PUBLIC, warm.tokenizer, tiny.LABELS, Reading(32))
    assert evaluate(warm.model, examples)[0].value == 1.0


def test_a_warm_start_without_steps_is_an_error(tiny_classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no training"):
        prepare_base(str(tiny_classifier), tmp_path, tiny.LABELS, 3, 32, WarmStart(PUBLIC, 0, 1e-3))
    assert list(tmp_path.iterdir()) == []


def test_serving_borrows_the_live_model(classifier: BaseModel) -> None:
    before = weights_sha256(classifier.model.state_dict())
    other = {name: tensor + 1 for name, tensor in classifier.trainable.items()}
    with pytest.raises(KeyError, match="stop"), classifier.serving(other) as model:
        for name, parameter in classifier.parameters().items():
            assert torch.equal(parameter, other[name])
        assert model is classifier.model
        raise KeyError("stop")
    assert weights_sha256(classifier.model.state_dict()) == before


def damaged(folder: Path, name: str, data: bytes | None) -> Path:
    if data is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("model.safetensors", None),
        ("model.safetensors", b"short"),
        ("config.json", None),
        ("config.json", b"{"),
        ("tokenizer.json", b"{"),
    ],
)
def test_a_damaged_folder_is_one_clear_error(
    classifier_folder: Path, tmp_path: Path, name: str, data: bytes | None
) -> None:
    folder = shutil.copytree(classifier_folder, tmp_path / "base")
    with pytest.raises(ModelError, match=r"does not load: .* Remedy: restore the folder"):
        load_base(damaged(folder, name, data), tiny.LABELS, FullWeights())


def test_missing_weights_are_never_made_up(
    classifier_folder: Path, classifier: BaseModel, tiny_classifier: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(classifier_folder, tmp_path / "base")
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.bias"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 parameters, first 'classifier\.bias'"):
        load_base(folder, tiny.LABELS, FullWeights())
    with pytest.raises(ModelError, match="lacks"):
        load_base(classifier_folder, (), FullWeights())  # a classifier has no language model's head
    with pytest.raises(ModelError, match="lacks"):
        prepare_base(str(tiny_classifier), tmp_path / "out", (), 0, 32)


def test_what_is_not_a_model_is_one_clear_error(tmp_path: Path) -> None:
    gguf = tmp_path / "some.model.gguf"
    gguf.write_bytes(b"GGUF" + bytes(100))
    for source in (str(tmp_path / "nowhere"), str(tmp_path), str(gguf)):
        with pytest.raises(ModelError, match="does not load: "):
            prepare_base(source, tmp_path / "out", (), 0, 32)


@pytest.mark.parametrize("labels", [("a", "b", "c"), tiny.LABELS[::-1]])
def test_other_labels_or_another_order_are_an_error(
    classifier_folder: Path, labels: tuple[str, ...]
) -> None:
    for load in (load_base, stream_base):
        with pytest.raises(ModelError, match=r"has the classes \['bad', 'good'\]"):
            load(classifier_folder, labels, FullWeights())
