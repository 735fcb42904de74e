"""What is served of adapters is a PEFT folder that PEFT alone loads, with the very weights."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from sift_core import (
    Adapter,
    BaseModel,
    Grid,
    Kind,
    StoredWeights,
    adapter_folder,
    frozen_projections,
    load_base,
    lora,
    weights_sha256,
)
from sift_core.serving_blocks import hand_over
from tests.support import tiny

ADAPTER = Adapter(rank=2, alpha=8, targets=("all-linear",), seed=1)


def weights_of(base: BaseModel) -> dict[str, torch.Tensor]:
    """Some weights that are not θ0."""
    generator = torch.Generator().manual_seed(5)
    return {
        name: tensor + torch.randn(tensor.shape, generator=generator) * 0.1
        for name, tensor in base.trainable.items()
    }


def written(folder: Path, base: BaseModel, weights: dict[str, torch.Tensor]) -> str:
    kind = Kind(base.shapes, Grid(24), 4)
    adapter = base.parameterization
    assert isinstance(adapter, Adapter)
    with adapter_folder(folder, base.folder, base.labels, adapter, kind, "org/name") as writer:
        hand_over(kind, weights, writer)
    return writer.sha256


@pytest.fixture(params=["causal", "classifier"])
def base(request: pytest.FixtureRequest) -> BaseModel:
    folder: Path = request.getfixturevalue(f"{request.param}_folder")
    return load_base(folder, tiny.LABELS if request.param == "classifier" else (), ADAPTER)


def test_peft_alone_serves_what_the_live_model_does(base: BaseModel, tmp_path: Path) -> None:
    weights = weights_of(base)
    assert written(tmp_path / "adapter", base, weights) == weights_sha256(weights)

    kind = AutoModelForSequenceClassification if base.labels else AutoModelForCausalLM
    plain = kind.from_pretrained(base.folder)
    served = PeftModel.from_pretrained(plain, tmp_path / "adapter").eval()

    asked = base.tokenizer(["the film was good"], return_tensors="pt")
    asked.pop("token_type_ids", None)
    with torch.inference_mode(), base.serving(weights) as model:
        expected = model.eval()(**asked).logits
        found = served(**asked).logits
        unmoved = base.model.eval()(**asked).logits
    assert torch.equal(found, expected)
    with base.serving(base.trainable) as model, torch.inference_mode():
        assert not torch.equal(model(**asked).logits, unmoved)


def test_merged_into_the_base_it_is_a_plain_model(base: BaseModel, tmp_path: Path) -> None:
    weights = weights_of(base)
    written(tmp_path / "adapter", base, weights)
    kind = AutoModelForSequenceClassification if base.labels else AutoModelForCausalLM
    served = PeftModel.from_pretrained(kind.from_pretrained(base.folder), tmp_path / "adapter")
    served.merge_and_unload().save_pretrained(tmp_path / "merged")
    asked = base.tokenizer(["the film was good"], return_tensors="pt")
    asked.pop("token_type_ids", None)
    plain = kind.from_pretrained(tmp_path / "merged")
    with torch.inference_mode(), base.serving(weights) as model:
        torch.testing.assert_close(
            plain(**asked).logits, model.eval()(**asked).logits, rtol=1e-4, atol=1e-5
        )


def test_the_folder_is_what_servers_of_many_adapters_ask_for(
    causal_folder: Path, tmp_path: Path
) -> None:
    """Two files, one rank, LoRA alone, layers by their last names, tensors in the base's dtype."""
    base = load_base(causal_folder, (), ADAPTER)
    written(tmp_path / "adapter", base, weights_of(base))
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        lora.CONFIG_FILE,
        lora.WEIGHTS_FILE,
    ]
    config = json.loads((tmp_path / "adapter" / lora.CONFIG_FILE).read_text())
    asked = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "org/name",
        "r": 2,
        "lora_alpha": 8,
        "bias": "none",
        "modules_to_save": None,
        "use_rslora": False,
        "use_dora": False,
        "inference_mode": True,
        "rank_pattern": {},
        "alpha_pattern": {},
        "target_modules": sorted(
            ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        ),
    }
    assert {name: config[name] for name in asked} == asked

    tensors = load_file(tmp_path / "adapter" / lora.WEIGHTS_FILE)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    layers = {name.rpartition(".lora_")[0] for name in tensors}
    assert set(tensors) == {f"{layer}.lora_{own}.weight" for layer in layers for own in "AB"}
    assert {tensors[f"{layer}.lora_A.weight"].shape[0] for layer in layers} == {2}
    assert {tensors[f"{layer}.lora_B.weight"].shape[1] for layer in layers} == {2}
    drawn = frozen_projections(StoredWeights(base.folder), Kind(base.shapes, Grid(24), 4), 1)
    assert weights_sha256({name: tensors[name] for name in drawn}) == weights_sha256(drawn)


def test_the_same_weights_give_the_same_files(base: BaseModel, tmp_path: Path) -> None:
    weights = weights_of(base)
    for name in ("one", "other"):
        written(tmp_path / name, base, weights)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()


def test_what_fails_leaves_no_folder_behind(causal_folder: Path, tmp_path: Path) -> None:
    base = load_base(causal_folder, (), ADAPTER)
    kind = Kind(base.shapes, Grid(24), 4)
    with (
        pytest.raises(ZeroDivisionError),
        adapter_folder(tmp_path / "adapter", base.folder, (), ADAPTER, kind),
    ):
        1 / 0  # noqa: B018
    assert list((tmp_path / "adapter").iterdir()) == []
