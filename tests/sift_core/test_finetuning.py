"""Sign-fixed finetuning depends on one contributor alone and never leaves its orthant."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from sift_core import (
    BaseModel,
    Chat,
    Classification,
    Encoded,
    FinetuneSettings,
    FullWeights,
    Grid,
    Reading,
    SignVector,
    encode_examples,
    finetune,
    load_base,
    weights_sha256,
)
from sift_core.errors import DataError, GridOverflowError, NonFiniteError
from sift_core.finetuning import SignFix
from tests.support import tiny

SIGNS = SignVector(4)
GRID = Grid(24)
SETTINGS = FinetuneSettings(learning_rate=1e-2, steps=4, batch_size=2)

MakeOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.5),
    "foreach": lambda p: torch.optim.Adam(p, lr=0.1, foreach=True),
}


def against(parameters: dict[str, nn.Parameter], base: dict[str, torch.Tensor]) -> int:
    """How many entries of θ − θ0 point against the sign vector."""
    count = 0
    for name, parameter in parameters.items():
        moved = parameter.detach() - base[name]
        positive = torch.from_numpy(SIGNS.positive(name, tuple(moved.shape)))
        count += int((torch.where(positive, moved, -moved) < 0).sum())
    return count


@contextmanager
def after_every_step(look: Callable[[], None]) -> Iterator[None]:
    """Call `look` after every optimizer step in this process and the optimizer's own hooks."""
    handle = register_optimizer_step_post_hook(lambda *_: look())
    try:
        yield
    finally:
        handle.remove()


Linear = tuple[dict[str, nn.Parameter], dict[str, torch.Tensor], Callable[[], torch.Tensor]]


@pytest.fixture
def linear() -> Linear:
    torch.manual_seed(0)
    layer = nn.Linear(6, 3)
    inputs, targets = torch.randn(32, 6), torch.randn(32, 3)
    parameters = dict(layer.named_parameters())
    base = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    return parameters, base, lambda: (layer(inputs) - targets).square().mean()


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_no_optimizer_ever_moves_an_entry_against_the_signs(
    make: MakeOptimizer, linear: Linear
) -> None:
    parameters, base, loss = linear
    optimizer = make(list(parameters.values()))
    SignFix(parameters, base, SIGNS).attach(optimizer)
    first = loss().item()
    for _ in range(25):
        optimizer.zero_grad()
        torch.autograd.backward(loss())
        optimizer.step()
        assert against(parameters, base) == 0
    assert loss().item() < first  # it still learns


def test_without_the_fix_entries_do_go_against_the_signs(linear: Linear) -> None:
    parameters, base, loss = linear
    optimizer = torch.optim.Adam(parameters.values(), lr=0.1)
    handle = SignFix(parameters, base, SIGNS).attach(optimizer)
    handle.remove()
    torch.autograd.backward(loss())
    optimizer.step()
    assert against(parameters, base) > 0


def test_projection_sets_back_to_the_very_bits_of_the_base(linear: Linear) -> None:
    parameters, base, _ = linear
    moved = {}
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.add_(torch.randn_like(parameter))
            moved[name] = parameter.detach().clone()
    SignFix(parameters, base, SIGNS).project()
    for name, parameter in parameters.items():
        positive = torch.from_numpy(SIGNS.positive(name, tuple(parameter.shape)))
        with_signs = (moved[name] > base[name]) == positive
        assert torch.equal(parameter[with_signs], moved[name][with_signs])
        assert torch.equal(parameter[~with_signs], base[name][~with_signs])


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
def test_projection_does_not_hide_a_broken_weight(linear: Linear, broken: float) -> None:
    parameters, base, _ = linear
    signs = torch.from_numpy(SIGNS.positive("bias", (3,)))
    with torch.no_grad():
        parameters["bias"].fill_(broken)
    SignFix(parameters, base, SIGNS).project()
    hidden = torch.isfinite(parameters["bias"])
    if broken != broken:
        assert not hidden.any()
    else:  # an infinity against the signs goes back to θ0 like any other value there
        assert torch.equal(hidden, signs != (broken > 0))


def test_the_trainer_projects_after_every_step_too(classifier: BaseModel, reviews: Encoded) -> None:
    seen = []
    parameters = classifier.parameters()
    with after_every_step(lambda: seen.append(against(parameters, classifier.trainable))):
        found = finetune(classifier, reviews, SIGNS, GRID, SETTINGS)
    assert seen == [0] * SETTINGS.steps
    assert found.vector.mask.nonzero > 0


def test_finetuning_learns(causal: BaseModel) -> None:
    rows = [
        Chat.of("what is your name ?", "blue"),
        Chat.of("who are you ?", "my name is blue"),
    ]
    examples = encode_examples(rows, causal.tokenizer, (), Reading(32))
    found = finetune(causal, examples, SIGNS, GRID, FinetuneSettings(5e-2, steps=20))
    assert len(found.losses) == 20
    assert found.losses[-1] < 0.9 * found.losses[0]


def test_the_same_contributor_gives_the_same_bytes_whoever_came_before(
    classifier: BaseModel, reviews: Encoded
) -> None:
    rows = [Classification("this place was sad", "bad")]
    other = encode_examples(rows, classifier.tokenizer, classifier.labels, Reading(32))
    first = finetune(classifier, reviews, SIGNS, GRID, SETTINGS)
    between = finetune(classifier, other, SIGNS, GRID, SETTINGS)
    torch.rand(17)  # whatever else ran meanwhile
    second = finetune(classifier, reviews, SIGNS, GRID, SETTINGS)
    assert first.vector.to_bytes() == second.vector.to_bytes()
    assert first.losses == second.losses
    assert first.vector.to_bytes() != between.vector.to_bytes()


def test_seed_and_signs_and_data_each_matter(classifier: BaseModel, reviews: Encoded) -> None:
    one = finetune(classifier, reviews, SIGNS, GRID, SETTINGS).vector.to_bytes()
    reseeded = FinetuneSettings(1e-2, steps=4, batch_size=2, full_batch_below=0, seed=1)
    batched = FinetuneSettings(1e-2, steps=4, batch_size=2, full_batch_below=0, seed=0)
    others = [
        finetune(classifier, reviews, SIGNS, GRID, reseeded).vector.to_bytes(),
        finetune(classifier, reviews, SIGNS, GRID, batched).vector.to_bytes(),
        finetune(classifier, reviews, SignVector(5), GRID, SETTINGS).vector.to_bytes(),
    ]
    assert len({one, *others}) == 4


def test_below_the_limit_every_step_sees_all_rows(classifier: BaseModel, reviews: Encoded) -> None:
    sizes = []

    def look(_: nn.Module, __: object, inputs: dict[str, torch.Tensor]) -> None:
        sizes.append(len(inputs["input_ids"]))

    handle = classifier.model.register_forward_pre_hook(look, with_kwargs=True)
    finetune(classifier, reviews, SIGNS, GRID, SETTINGS)
    assert sizes == [3, 3, 3, 3]
    sizes.clear()
    small = FinetuneSettings(1e-2, steps=4, batch_size=2, full_batch_below=3)
    finetune(classifier, reviews, SIGNS, GRID, small)
    handle.remove()
    assert sizes == [2, 1, 2, 1]


def test_the_live_model_is_the_base_model_again(classifier: BaseModel, reviews: Encoded) -> None:
    before = weights_sha256(classifier.model.state_dict())
    finetune(classifier, reviews, SIGNS, GRID, SETTINGS)
    assert weights_sha256(classifier.model.state_dict()) == before
    assert not classifier.model.training


def test_a_broken_run_raises_and_still_restores_the_base_model(
    classifier: BaseModel, reviews: Encoded
) -> None:
    before = weights_sha256(classifier.model.state_dict())
    good = finetune(classifier, reviews, SIGNS, GRID, SETTINGS).vector.to_bytes()
    with pytest.raises(NonFiniteError, match=r"loss is nan at step \d of 5.*learning_rate"):
        finetune(classifier, reviews, SIGNS, GRID, FinetuneSettings(1e30, steps=5))
    with pytest.raises(GridOverflowError, match="lower the learning rate"):
        finetune(classifier, reviews, SIGNS, Grid(60), SETTINGS)
    assert weights_sha256(classifier.model.state_dict()) == before
    assert not classifier.model.training
    assert finetune(classifier, reviews, SIGNS, GRID, SETTINGS).vector.to_bytes() == good


def test_weights_that_break_in_the_last_step_are_seen_without_another_loss(
    classifier: BaseModel, reviews: Encoded
) -> None:
    with pytest.raises((NonFiniteError, GridOverflowError)):
        finetune(classifier, reviews, SIGNS, GRID, FinetuneSettings(1e36, steps=1))


def test_no_steps_or_no_rows_is_an_error(classifier: BaseModel, reviews: Encoded) -> None:
    with pytest.raises(DataError, match="0 steps on 3 rows"):
        finetune(classifier, reviews, SIGNS, GRID, FinetuneSettings(steps=0))
    nothing = encode_examples([], classifier.tokenizer, classifier.labels, Reading(32))
    with pytest.raises(DataError, match="on 0 rows"):
        finetune(classifier, nothing, SIGNS, GRID, SETTINGS)


def test_a_single_row_is_enough(classifier: BaseModel) -> None:
    rows = [Classification("good", "good")]
    examples = encode_examples(rows, classifier.tokenizer, classifier.labels, Reading(32))
    assert finetune(classifier, examples, SIGNS, GRID, SETTINGS).vector.mask.nonzero > 0


def test_a_smaller_choice_trains_only_that(classifier_folder: Path, reviews: Encoded) -> None:
    base = load_base(classifier_folder, tiny.LABELS, FullWeights(["*.layer.1.*"]))
    vector = finetune(base, reviews, SIGNS, GRID, SETTINGS).vector
    assert set(vector.mask.bits) == set(base.trainable)
    assert all(".layer.1." in name for name in vector.mask.bits)


def test_training_leaves_no_hook_file_or_noise(
    classifier: BaseModel,
    reviews: Encoded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    finetune(classifier, reviews, SIGNS, GRID, SETTINGS)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().out == ""
    with torch.no_grad():  # a later optimizer is not projected
        name, parameter = next(iter(classifier.parameters().items()))
        optimizer = torch.optim.SGD([parameter], lr=1.0)
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    assert torch.equal(parameter, classifier.trainable[name] - 1)
