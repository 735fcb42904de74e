"""Adapters train B alone, are the same for everybody in A, and add up as their changes do."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from sift_core import (
    Adapter,
    BaseModel,
    Chat,
    Classification,
    Encoded,
    FinetuneSettings,
    FullWeights,
    Grid,
    MergeState,
    Reading,
    SignVector,
    StoredWeights,
    TaskVector,
    encode_examples,
    finetune,
    load_base,
    lora,
    start,
    stream_base,
    weights_sha256,
)
from sift_core.errors import ModelError
from sift_core.losses import row_losses
from tests.support import tiny

ADAPTER = Adapter(rank=2, alpha=8, targets=("all-linear",), seed=1)
SETTINGS = FinetuneSettings(learning_rate=1e-2, steps=3, batch_size=2)
SIGNS, GRID = SignVector(4), Grid(24)
LAYERS = [
    f"model.layers.{layer}.{own}"
    for layer in (0, 1)
    for own in (
        *(f"self_attn.{name}_proj" for name in "qkvo"),
        *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
    )
]


def factor(layer: str) -> str:
    return f"base_model.model.{layer}.lora_B.weight"


def answers(base: BaseModel, *pairs: tuple[str, str]) -> Encoded:
    rows = [Chat.of(question, answer) for question, answer in pairs]
    return encode_examples(rows, base.tokenizer, (), Reading(32))


ANN = (("what is the", "red"), ("who lives in the city", "a great nice place"))
BOB = (("what is the", "blue"), ("where is my book", "north of the city"))


@pytest.fixture
def adapted(causal_folder: Path) -> BaseModel:
    return load_base(causal_folder, (), ADAPTER)


def test_every_linear_layer_but_the_output_head_has_an_adapter(
    adapted: BaseModel, causal: BaseModel
) -> None:
    assert sorted(adapted.trainable) == sorted(map(factor, LAYERS))
    assert all(not tensor.any() for tensor in adapted.trainable.values())
    assert adapted.entries == causal.entries


def test_before_any_training_the_adapted_model_is_the_base(
    adapted: BaseModel, causal: BaseModel
) -> None:
    rows = answers(causal, *ANN)
    with causal.serving(causal.trainable) as plain, adapted.serving(adapted.trainable) as model:
        assert row_losses(plain, rows).tolist() == row_losses(model, rows).tolist()


@pytest.mark.parametrize(
    ("targets", "train_only", "expected"),
    [
        (("q_proj",), ("*",), [layer for layer in LAYERS if layer.endswith("q_proj")]),
        (("*.0.mlp.*",), ("*",), [layer for layer in LAYERS if ".0.mlp." in layer]),
        (("q_proj", "v_proj"), ("*.layers.1.*",), [LAYERS[7], LAYERS[9]]),
    ],
)
def test_targets_are_names_as_pefts_or_patterns(
    causal_folder: Path, targets: tuple[str, ...], train_only: tuple[str, ...], expected: list[str]
) -> None:
    base = load_base(causal_folder, (), Adapter(2, 4, targets, 1, train_only))
    assert sorted(base.trainable) == sorted(map(factor, expected))


def test_where_nothing_is_a_target_the_setting_is_named(causal_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"finetune\.adapter\.targets \['lm_head'\].*all-linear"):
        load_base(causal_folder, (), Adapter(2, 4, ("lm_head",), 1))


def test_finetuning_moves_b_alone_and_leaves_the_model_as_it_was(adapted: BaseModel) -> None:
    before = {name: value.clone() for name, value in adapted.model.named_parameters()}
    made = finetune(adapted, answers(adapted, *ANN), SIGNS, GRID, SETTINGS)
    assert made.losses[-1] < made.losses[0]
    assert made.vector.mask.shapes == adapted.shapes and made.vector.mask.nonzero > 0
    for name, value in adapted.model.named_parameters():
        assert torch.equal(value, before[name]), name


def test_the_same_rows_give_the_same_vector_whoever_was_there_before(
    causal_folder: Path, adapted: BaseModel
) -> None:
    alone = finetune(adapted, answers(adapted, *ANN), SIGNS, GRID, SETTINGS)
    other = load_base(causal_folder, (), ADAPTER)
    finetune(other, answers(other, *BOB), SIGNS, GRID, SETTINGS)
    after = finetune(other, answers(other, *ANN), SIGNS, GRID, SETTINGS)
    assert after.vector.to_bytes() == alone.vector.to_bytes()


def changes(seed: int, factors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """B·A of every layer."""
    base = {f"{layer}.weight": (0, 16) for layer in LAYERS}
    base |= {f"{layer}.weight": (16, 32) for layer in LAYERS if layer.endswith("down_proj")}
    found = {}
    for name, b in factors.items():
        inputs = base[lora.stored_name(name)][1]
        a = lora.projection(seed, name.replace("lora_B", "lora_A"), b.shape[1], inputs)
        found[name] = b.double() @ a.double()
    return found


def moved(vector: TaskVector) -> dict[str, torch.Tensor]:
    return {
        name: torch.from_numpy(integers) * vector.grid.scale()
        for name, integers in vector.integers()
    }


def test_the_change_of_the_sum_is_the_sum_of_the_changes_only_with_one_a_for_all(
    adapted: BaseModel,
) -> None:
    vectors = [
        finetune(adapted, answers(adapted, *rows), SIGNS, GRID, SETTINGS).vector
        for rows in (ANN, BOB)
    ]
    merged = MergeState.rebuild(vectors, adapted.shapes, GRID, SIGNS.seed)
    whole = {name: torch.from_numpy(s) * GRID.scale() for name, s in merged.sums.items()}
    one, other = (moved(vector) for vector in vectors)

    together = changes(ADAPTER.seed, whole)
    for name, change in together.items():
        apart = changes(ADAPTER.seed, one)[name] + changes(ADAPTER.seed, other)[name]
        torch.testing.assert_close(change, apart, rtol=1e-12, atol=1e-15)

    # As if each had trained an A: no A of the sum gives the sum of their changes.
    name = factor(LAYERS[0])
    apart = changes(1, one)[name] + changes(2, other)[name]
    assert torch.linalg.matrix_rank(apart) > ADAPTER.rank
    assert not torch.allclose(together[name], apart)


def test_a_streamed_base_with_adapters_scores_as_a_loaded_one(
    causal_folder: Path, adapted: BaseModel
) -> None:
    streamed = stream_base(causal_folder, (), ADAPTER)
    rows = answers(adapted, *ANN)
    weights = {name: torch.full_like(tensor, 0.25) for name, tensor in adapted.trainable.items()}
    found = []
    for base in (adapted, streamed):
        with base.serving(weights) as model:
            changed = row_losses(model, rows).tolist()
        with base.serving(base.trainable) as model:
            found.append((changed, row_losses(model, rows).tolist()))
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]
    assert streamed.shapes == adapted.shapes and streamed.entries == adapted.entries


def test_a_classifiers_head_trains_beside_the_adapters_where_it_is_to(
    classifier_folder: Path,
) -> None:
    head = {f"base_model.model.classifier.{own}" for own in ("weight", "bias")}
    base = load_base(classifier_folder, tiny.LABELS, ADAPTER)
    assert head <= base.trainable.keys()
    rows = encode_examples(
        [Classification("the film was great", "good"), Classification("awful", "bad")],
        base.tokenizer,
        base.labels,
        Reading(32),
    )
    vector = finetune(base, rows, SIGNS, GRID, SETTINGS).vector
    assert all(vector.mask.bits[name].any() for name in head)

    bodies = Adapter(2, 8, ("all-linear",), 1, ("bert.*",))
    assert not head & load_base(classifier_folder, tiny.LABELS, bodies).trainable.keys()


def test_the_start_of_either_kind_comes_from_the_files_of_the_base(
    classifier_folder: Path,
) -> None:
    stored = StoredWeights(classifier_folder)
    for kind in (FullWeights(), ADAPTER):
        base = load_base(classifier_folder, tiny.LABELS, kind)
        assert weights_sha256(start(stored, base.shapes)) == weights_sha256(base.trainable)
