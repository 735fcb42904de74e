import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from flows.errors import UsageError
from flows.integrations.dvc.repository import Dvc
from flows.integrations.git import Git
from flows.integrations.mlflow.card import MEMBERS_FILE, ModelCard
from flows.serving import loading
from flows.serving.errors import (
    AlteredError,
    MaskMissingError,
    PromptTooLongError,
    WorkspaceMissingError,
)
from flows.serving.loading import load_model
from flows.serving.members import KEPT_VARIABLE
from flows.serving.model import SiftModel
from sift_core.errors import TooLongError
from tests.support.damage import flip_a_byte
from tests.support.served import MEMBERS, TEXTS, Served, loaded, remake_elsewhere

ANN, BOB = MEMBERS


def classify(model: SiftModel, contributor: str | None = None) -> pd.DataFrame:
    params = None if contributor is None else {"contributor": contributor}
    return model.predict(None, pd.DataFrame({"text": TEXTS}), params)


def expected_parameters(served: Served, member: str) -> dict[str, torch.Tensor]:
    """θ0 + (m ⊙ S)/T written out by hand."""
    base = dict(load_model(served.root / "base", served.card.task).named_parameters())
    merged = dict(load_model(served.folder, served.card.task).named_parameters())
    merged |= load_file(served.weights / MEMBERS_FILE)
    bits = served.masks[member].bits
    wanted = {}
    for name, theta in base.items():
        values = theta.detach().numpy().copy()
        if name in bits:
            values[bits[name]] = merged[name].detach().numpy()[bits[name]]
        wanted[name] = torch.from_numpy(values)
    return wanted


def served_to(model: SiftModel, who: str) -> dict[str, torch.Tensor]:
    """All parameters while somebody is served."""
    with model.version.asking(model.version.addressees([who])) as asked:
        return {name: value.clone() for name, value in parameters(asked.fresh()).items()}


def parameters(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in model.named_parameters()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_is_served_under_their_own_mask_bit_for_bit(served: Served, member: str) -> None:
    model = loaded(served)
    assert same(served_to(model, member), expected_parameters(served, member))


@pytest.mark.parametrize("nobody", [None, "", "a stranger"])
def test_anyone_else_is_served_unmasked(served: Served, nobody: str | None) -> None:
    model = loaded(served)
    plain = parameters(load_model(served.folder, "classification"))
    assert same(served_to(model, nobody or ""), plain)
    assert classify(model, nobody).equals(classify(model))


def test_someone_who_opted_out_is_served_unmasked_even_if_a_mask_lay_around(
    served: Served,
) -> None:
    members = {key: ref for key, ref in served.card.members.items() if key != served.key(ANN)}
    served.card = served.card.model_copy(update={"members": members})
    model = loaded(served)
    assert classify(model, ANN).equals(classify(model))
    assert not classify(model, BOB).equals(classify(model))


def test_labels_and_scores_are_those_of_the_plain_model(served: Served) -> None:
    answer = classify(loaded(served))
    tokenizer = AutoTokenizer.from_pretrained(served.folder)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = load_model(served.folder, "classification")(**batch).logits
    chances = torch.softmax(logits.double(), -1).numpy()
    assert list(answer["label"]) == [served.card.labels[i] for i in chances.argmax(-1)]
    np.testing.assert_allclose(answer["score"], chances.max(-1), rtol=1e-6)


def test_who_was_served_leaves_the_model_as_it_was(served: Served) -> None:
    model = loaded(served)
    before = {name: value.clone() for name, value in parameters(model.version.model).items()}
    addresses = {name: value.data_ptr() for name, value in parameters(model.version.model).items()}
    with model.version.asking(model.version.addressees([ANN])):
        covered = served.masks[ANN].bits
        for name, value in parameters(model.version.model).items():
            assert (value.data_ptr() == addresses[name]) == (name not in covered)
    assert same(parameters(model.version.model), before)


def one_set(served: Served) -> int:
    """Bytes of one member's weights."""
    return sum(4 * bits.size for bits in served.masks[ANN].bits.values())


def test_members_weights_are_kept_in_so_many_bytes_and_no_more(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEPT_VARIABLE, str(2 * one_set(served) - 1))
    model = loaded(served)
    members = model.version.members
    first = members.weights(served.key(ANN))
    assert members.weights(served.key(ANN)) is first
    members.weights(served.key(BOB))
    assert members.kept == [served.key(BOB)] and members.bytes_kept == one_set(served)
    assert same(dict(members.weights(served.key(ANN))), dict(first))


def test_weights_larger_than_that_are_made_whenever_they_are_wanted(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = classify(loaded(served), ANN)
    monkeypatch.setenv(KEPT_VARIABLE, "0")
    model = loaded(served)
    assert classify(model, ANN).equals(kept)
    assert model.version.members.bytes_kept == 0


@pytest.mark.parametrize("wrong", ["-1", "2GB", "", "١"])
def test_what_is_no_number_of_bytes_is_refused(
    served: Served, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEPT_VARIABLE, wrong)
    with pytest.raises(UsageError, match=KEPT_VARIABLE):
        loaded(served)


def test_a_mask_is_read_once_and_files_are_hashed_once(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    really = loading.folder_sha256
    monkeypatch.setattr(
        loading, "folder_sha256", lambda folder: hashed.append(folder) or really(folder)
    )
    monkeypatch.setenv(KEPT_VARIABLE, "0")
    model = loaded(served)
    for who in (ANN, BOB, ANN):
        classify(model, who)
    assert hashed == [served.root / "base"]
    served.mask_path(ANN).unlink()
    with pytest.raises(MaskMissingError):
        classify(model, ANN)


def test_a_base_that_is_replaced_later_is_not_what_members_are_served(
    served: Served, tmp_path: Path
) -> None:
    model = loaded(served)
    wanted = classify(model, BOB)
    path = served.root / "base" / "model.safetensors"
    shutil.copy(served.folder / "model.safetensors", tmp_path / "other")
    (tmp_path / "other").replace(path)
    model.version.members._kept.clear()
    assert classify(model, BOB).equals(wanted)


@pytest.mark.parametrize("hostile", ["../../x", "'; drop table", "x" * 500, "😀", "a\x00b", "-rf"])
def test_a_hostile_id_is_refused_and_not_served(served: Served, hostile: str) -> None:
    with pytest.raises(UsageError, match="contributor id"):
        classify(loaded(served), hostile)


def test_a_missing_mask_is_an_error_and_never_unmasked(served: Served) -> None:
    served.mask_path(ANN).unlink()
    model = loaded(served)
    with pytest.raises(MaskMissingError, match="dvc pull"):
        classify(model, ANN)
    classify(model, BOB)


@pytest.mark.parametrize("spoil", ["truncated", "altered", "another's"])
def test_an_altered_mask_is_an_error_and_never_unmasked(served: Served, spoil: str) -> None:
    path = served.mask_path(ANN)
    data = path.read_bytes()
    spoiled = {
        "truncated": data[:-7],
        "altered": data[:-1] + bytes([data[-1] ^ 1]),
        "another's": served.mask_path(BOB).read_bytes(),
    }
    path.write_bytes(spoiled[spoil])
    with pytest.raises(AlteredError, match="not the mask"):
        classify(loaded(served), ANN)


def test_an_altered_base_is_an_error(served: Served) -> None:
    with (served.root / "base" / "config.json").open("a") as file:
        file.write(" ")
    with pytest.raises(AlteredError, match="base model"):
        classify(loaded(served), ANN)


def test_altered_served_weights_are_an_error(served: Served) -> None:
    shutil.copy(served.root / "base" / "model.safetensors", served.folder / "model.safetensors")
    with pytest.raises(AlteredError, match="served weights"):
        classify(loaded(served), ANN)


def test_altered_members_weights_are_an_error(served: Served) -> None:
    flip_a_byte(served.weights / MEMBERS_FILE)
    with pytest.raises(AlteredError, match="members' weights"):
        classify(loaded(served), ANN)


def test_where_the_mean_is_over_all_members_they_are_served_anyone_s_weights(
    served: Served,
) -> None:
    (served.weights / MEMBERS_FILE).unlink()
    as_paper = {"member_mean": "all", "members_sha256": served.card.served_sha256}
    served.card = served.card.model_copy(update=as_paper)
    own = served_to(loaded(served), ANN)
    base, merged = (
        dict(load_model(folder, "classification").named_parameters())
        for folder in (served.root / "base", served.folder)
    )
    for name, bits in served.masks[ANN].bits.items():
        assert torch.equal(own[name], torch.where(torch.from_numpy(bits), merged[name], base[name]))


def test_without_the_workspace_only_nobody_is_served(served: Served, tmp_path: Path) -> None:
    served.card = served.card.model_copy(update={"workspace": str(tmp_path / "gone")})
    model = loaded(served)
    assert len(classify(model)) == len(TEXTS)
    with pytest.raises(WorkspaceMissingError, match="SIFT_WORKSPACE"):
        classify(model, ANN)


def test_a_variable_says_where_the_workspace_is_now(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = classify(loaded(served), ANN)
    moved = remake_elsewhere(served, tmp_path / "moved")
    shutil.rmtree(served.root / "masks")
    monkeypatch.setenv("SIFT_WORKSPACE", str(moved.root))
    assert classify(loaded(served), ANN).equals(wanted)


def test_a_mask_that_has_moved_on_is_found_in_the_dvc_cache(served: Served, tmp_path: Path) -> None:
    served = remake_elsewhere(served, tmp_path / "with dvc")
    Git.init(served.root)
    dvc = Dvc.init(served.root, served.root.parent / "remote")
    dvc.record.add("masks")
    wanted = classify(loaded(served), ANN)
    served.mask_path(ANN).write_bytes(served.mask_path(BOB).read_bytes())
    assert classify(loaded(served), ANN).equals(wanted)
    served.mask_path(ANN).unlink()
    assert classify(loaded(served), ANN).equals(wanted)


def test_a_completion_is_the_greedy_one_of_the_weights_under_the_mask(
    served_generator: Served,
) -> None:
    model = loaded(served_generator)
    prompts = pd.DataFrame({"prompt": ["where is the city ?", "who"]}, index=[7, 9])
    answer = model.predict(None, prompts, {"contributor": ANN, "max_new_tokens": 6})
    assert list(answer.index) == [7, 9]

    tokenizer = AutoTokenizer.from_pretrained(served_generator.folder)
    plain = AutoModelForCausalLM.from_pretrained(served_generator.folder, dtype="auto")
    plain.load_state_dict(expected_parameters(served_generator, ANN), strict=False)
    for prompt, completion in zip(prompts["prompt"], answer["completion"], strict=True):
        given = tokenizer(prompt + "\n", return_tensors="pt")
        written = plain.generate(
            **given, max_new_tokens=6, do_sample=False, pad_token_id=tokenizer.eos_token_id
        )[0, given["input_ids"].shape[1] :]
        assert completion == tokenizer.decode(written, skip_special_tokens=True)
    unmasked = model.predict(None, prompts, {"contributor": "", "max_new_tokens": 6})
    assert not unmasked.equals(answer)


def test_a_prompt_that_does_not_fit_loses_its_beginning_or_is_refused(
    served_generator: Served,
) -> None:
    """The tiny model has 64 positions; a prompt is a token a word, one before and none after."""
    long, asked = pd.DataFrame({"prompt": ["the city " * 30]}), {"max_new_tokens": 20}
    model = loaded(served_generator)
    fitting = pd.DataFrame({"text": ["the city " * 21 + "the city"]})
    whole = model.tokenizer(fitting["text"][0], add_special_tokens=False)["input_ids"]
    given = torch.tensor([whole])
    written = model.version.model.generate(
        given, max_new_tokens=20, do_sample=False, pad_token_id=model.tokenizer.pad_token_id
    )[0, 44:]
    found = model.predict(None, long, asked)
    assert found["completion"][0] == model.tokenizer.decode(written, skip_special_tokens=True)

    model.card = model.card.model_copy(update={"too_long": "refuse"})
    with pytest.raises(PromptTooLongError, match="max_new_tokens"):
        model.predict(None, long, asked)
    for too_long in ("window", "refuse"):
        model.card = model.card.model_copy(update={"too_long": too_long})
        with pytest.raises(PromptTooLongError):
            model.predict(None, pd.DataFrame({"prompt": ["who"]}), {"max_new_tokens": 64})


def test_a_text_is_continued_as_it_stands(served_generator: Served) -> None:
    model = loaded(served_generator)
    text = "where is the city"
    found = model.predict(None, pd.DataFrame({"text": [text]}), {"max_new_tokens": 6})
    given = model.tokenizer(f"{text}", return_tensors="pt")["input_ids"]
    assert given[0, 0] == model.tokenizer.bos_token_id
    written = model.version.model.generate(
        given, max_new_tokens=6, do_sample=False, pad_token_id=model.tokenizer.pad_token_id
    )[0, given.shape[1] :]
    assert found["completion"][0] == model.tokenizer.decode(written, skip_special_tokens=True)
    with pytest.raises(UsageError, match="'prompt' or 'text', and not in both"):
        model.predict(None, pd.DataFrame({"prompt": ["who"], "text": ["who"]}))


def test_a_long_text_is_classified_as_it_is_scored(served: Served) -> None:
    """In windows by the mean of their logits, cut by its beginning, or not at all."""
    model, long = loaded(served), "good " * 40 + "awful " * 40
    model.card = model.card.model_copy(update={"max_length": 22})
    whole = pd.DataFrame({"text": [long, "good"]})

    def logits(text: str) -> torch.Tensor:
        encoded = model.tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            return model.version.model(**encoded).logits[0].double()

    windows = torch.stack([logits("good " * 20)] * 2 + [logits("awful " * 20)] * 2)
    score = windows.mean(0).softmax(-1).max().item()
    assert model.predict(None, whole)["score"][0] == pytest.approx(score, rel=1e-5)
    model.card = model.card.model_copy(update={"too_long": "cut"})
    score = logits("good " * 20).softmax(-1).max().item()
    assert model.predict(None, whole)["score"][0] == pytest.approx(score, rel=1e-5)
    model.card = model.card.model_copy(update={"too_long": "refuse"})
    with pytest.raises(TooLongError, match="82 tokens, more than the 22"):
        model.predict(None, whole)


def test_a_card_is_read_back_and_holds_keys_only(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    served.card.write(path)
    assert ModelCard.read(path) == served.card
    assert not any(member in path.read_text() for member in MEMBERS)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format_version", 2),
        ("task", "poetry"),
        ("state_sha256", "not a digest"),
        ("members", {"Ann Lee": {"mask_sha256": "a" * 64, "mask_md5": "b" * 32}}),
        ("unknown", 1),
    ],
)
def test_what_is_not_a_card_is_refused(served: Served, field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        ModelCard.model_validate(served.card.model_dump() | {field: value})
