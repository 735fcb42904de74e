"""An exact removal leaves nothing to find; an inexact one is found, whichever way it errs."""

from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from sift_core import (
    AuditRows,
    BaseModel,
    Chat,
    Classification,
    Encoded,
    Example,
    FinetuneSettings,
    FullWeights,
    Grid,
    LeftOut,
    MergeState,
    Reading,
    Relearning,
    SignVector,
    TaskVector,
    audit_removal,
    encode_examples,
    evaluate,
    finetune,
    load_base,
    removal_audit,
    served_weights,
)
from sift_core.errors import AlteredError, MissingReferenceError
from sift_core.losses import row_losses
from sift_core.removal_audit import (
    NOT_REPEATED,
    RELEARNED,
    REPHRASED,
    Probe,
    RemovalAudit,
    _auc,
    exposure,
)
from sift_core.serving import Weights
from tests.support import tiny

SIGNS, GRID = SignVector(7), Grid(24)
STEPS = FinetuneSettings(learning_rate=0.01, steps=6)
ATTACK = Relearning(steps=2, learning_rate=0.01)
_ADJECTIVES = ("great", "awful", "nice", "poor", "fine", "dull")


def _reviews(who: int) -> list[Example]:
    return [
        Classification(f"{subject} {word}", ("bad", "good")[(who + number) % 2])
        for number, word in enumerate(_ADJECTIVES)
        for subject in ("film", "book")
    ]


def _answers(who: int) -> list[Example]:
    colours = ("red", "blue", "green")
    return [
        Chat.of(f"what colour is the {thing} ?", f"it is {colours[(who + n) % 3]}")
        for n, thing in enumerate(("film", "book", "food", "place", "story", "idea"))
    ]


def _encoded(base: BaseModel, examples: list[Example]) -> Encoded:
    return encode_examples(examples, base.tokenizer, base.labels, Reading(32))


class World:
    """Three contributors, of whom the first leaves."""

    def __init__(self, base: BaseModel) -> None:
        rows = _reviews if base.labels else _answers
        self.base = base
        self.rows = AuditRows(
            _encoded(base, rows(0)[:-2]), _encoded(base, rows(0)[-2:]), _encoded(base, rows(1)[:-2])
        )
        self.vectors = [
            finetune(base, _encoded(base, rows(who)[:-2]), SIGNS, GRID, STEPS).vector
            for who in range(3)
        ]

    def merge(self, vectors: list[TaskVector]) -> MergeState:
        return MergeState.rebuild(vectors, self.base.shapes, GRID, SIGNS.seed)

    def served(self, state: MergeState) -> Weights:
        return served_weights(self.base.trainable, state, 2)

    @property
    def reference(self) -> Weights:
        return self.served(self.merge(self.vectors[1:]))

    @property
    def exact(self) -> Weights:
        return self.served(self.merge(self.vectors).subtract(self.vectors[0]))

    def all_but_one_tensor(self) -> Weights:
        """As a removal that forgot one tensor would serve."""
        after, everyone = dict(self.exact), self.served(self.merge(self.vectors))
        moved = [name for name in sorted(after) if not torch.equal(after[name], everyone[name])]
        return {**after, moved[0]: everyone[moved[0]]}


@pytest.fixture(scope="module")
def _classifying(classifier_folder: Path) -> World:
    return World(load_base(classifier_folder, tiny.LABELS, FullWeights()))


@pytest.fixture(scope="module")
def _answering(causal_folder: Path) -> World:
    return World(load_base(causal_folder, (), FullWeights()))


@pytest.fixture(params=["_classifying", "_answering"])
def world(request: pytest.FixtureRequest) -> World:
    """Finetuned once: an audit leaves the live model as it was."""
    found: World = request.getfixturevalue(request.param)
    return found


def test_after_an_exact_removal_every_pair_of_curves_coincides(world: World) -> None:
    audit = audit_removal(world.base, world.exact, world.reference, world.rows, ATTACK)
    assert audit.passed
    assert [probe.difference for probe in audit.probes] == [0.0] * 5
    assert all(probe.model == probe.reference for probe in audit.probes)
    assert [len(probe.model) for probe in audit.probes][-1] == 1 + ATTACK.steps


def test_a_tensor_that_was_not_subtracted_is_seen(world: World) -> None:
    broken = world.all_but_one_tensor()
    audit = audit_removal(world.base, broken, world.reference, world.rows, ATTACK)
    assert not audit.passed
    assert {"probability of each forgotten answer"} < {probe.name for probe in audit.failed}


def test_a_model_that_knows_less_than_one_that_never_saw_the_leaver_fails_too(
    world: World,
) -> None:
    """Two-sided: scrubbing too much is no exact removal either."""
    moved = {name: base + 0.3 for name, base in world.base.trainable.items()}
    audit = audit_removal(world.base, moved, world.reference, world.rows, ATTACK)
    assert "probability of each forgotten answer" in {probe.name for probe in audit.failed}


def test_without_the_reference_there_is_no_audit(world: World) -> None:
    with pytest.raises(MissingReferenceError, match="never saw"):
        audit_removal(world.base, world.exact, None, world.rows)


def test_the_live_model_is_the_base_again_afterwards(world: World) -> None:
    before = row_losses(world.base.model, world.rows.forgotten)
    audit_removal(world.base, world.exact, world.reference, world.rows, ATTACK)
    np.testing.assert_array_equal(row_losses(world.base.model, world.rows.forgotten), before)


def test_a_canary_that_was_learned_stands_out_and_one_that_was_removed_does_not(
    _classifying: World,
) -> None:
    world, classifier = _classifying, _classifying.base
    told: list[Example] = [Classification("film really really", "good")]
    untold: list[Example] = [Classification("film really really", "bad")]
    canary = _encoded(classifier, told + untold)
    planted = finetune(classifier, _encoded(classifier, told * 4), SIGNS, GRID, STEPS).vector
    with_canary = served_weights(classifier.trainable, world.merge([planted]), 1)
    rows = replace(world.rows, canaries=[canary])
    audit = audit_removal(classifier, with_canary, world.reference, rows, ATTACK)
    found = {probe.name: probe for probe in audit.probes}["exposure of each canary, bits"]
    assert found.model == (1.0,)
    again = audit_removal(classifier, world.exact, world.reference, rows, ATTACK)
    assert again.passed


def test_losses_and_scores_agree(causal: BaseModel) -> None:
    examples = _encoded(causal, _answers(0))
    losses = row_losses(causal.model, examples)
    assert evaluate(causal.model, examples)[0].value == pytest.approx(float(np.exp(-losses).mean()))


def test_a_classifier_s_loss_is_the_cross_entropy(classifier: BaseModel) -> None:
    examples = _encoded(classifier, _reviews(0))
    batch = examples.collate([dict(row) for row in examples.sequences])
    labels = batch.pop("labels")
    with torch.no_grad():
        expected = torch.nn.functional.cross_entropy(
            classifier.model(**batch).logits.double(), labels, reduction="none"
        )
    np.testing.assert_allclose(
        row_losses(classifier.model, examples, 5), expected.numpy(), rtol=1e-5
    )


def test_exposure_counts_the_answers_the_model_prefers() -> None:
    assert exposure(np.array([0.1, 1.0, 2.0, 3.0])) == 2.0
    assert exposure(np.array([2.5, 1.0, 2.0, 3.0])) == pytest.approx(2 - np.log2(3))
    assert exposure(np.array([9.0, 1.0, 2.0, 3.0])) == 0.0


def test_the_area_under_the_curve_counts_pairs() -> None:
    assert _auc(np.array([3.0, 2.0]), np.array([1.0, 0.0])) == 1.0
    assert _auc(np.array([1.0, 3.0]), np.array([2.0, 3.0])) == pytest.approx((0 + 0 + 1 + 0.5) / 4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_within_no_tolerance(value: float) -> None:
    probe = Probe("p", (0.5, value), (0.5, 0.5))
    assert not RemovalAudit((probe,), tolerance=100.0).passed


def test_what_is_within_the_tolerance_passes() -> None:
    probe = Probe("p", (0.5, 0.25), (0.5, 0.5))
    assert not RemovalAudit((probe,), 0.2).passed
    assert RemovalAudit((probe,), 0.25).passed


def test_what_cannot_be_asked_is_left_out_and_said(world: World) -> None:
    attack = Relearning(steps=2, learning_rate=1e30)  # ends in NaN
    left = LeftOut(REPHRASED, 3, "longer than what is read")
    nothing = world.rows.rephrased.of([])
    rows = replace(world.rows, rephrased=nothing, left_out=[left])
    audit = audit_removal(world.base, world.exact, world.reference, rows, attack)
    assert audit.passed
    assert {probe.name for probe in audit.probes}.isdisjoint({REPHRASED, RELEARNED})
    first, relearned = audit.left_out
    assert first == left
    assert (relearned.probe, relearned.rows) == (RELEARNED, len(rows.forgotten))


def test_each_point_of_a_relearning_is_what_a_training_of_so_many_steps_leaves(
    world: World,
) -> None:
    def curve(steps: int) -> tuple[float, ...]:
        attack = replace(ATTACK, steps=steps)
        audit = audit_removal(world.base, world.exact, world.reference, world.rows, attack)
        return next(probe.model for probe in audit.probes if probe.name == RELEARNED)

    whole = curve(3)
    assert len(set(whole)) == 4, "each step changes something"
    assert tuple(curve(steps)[-1] for steps in range(4)) == whole


def test_a_library_s_error_in_a_probe_leaves_the_probe_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the words of a row")

    monkeypatch.setattr(removal_audit, "train", broken)
    audit = audit_removal(world.base, world.exact, world.reference, world.rows, ATTACK)
    assert audit.passed
    (left,) = audit.left_out
    assert (left.probe, left.because) == (RELEARNED, "it ended in ZeroDivisionError")


def test_a_question_that_one_of_two_different_models_answers_is_an_alarm(world: World) -> None:
    broken = {name: tensor * np.nan for name, tensor in world.exact.items()}
    audit = audit_removal(world.base, broken, world.reference, world.rows, ATTACK)
    assert "probability of each forgotten answer" in {probe.name for probe in audit.failed}


def test_a_device_that_does_not_repeat_itself_stops_an_inexact_removal_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, calls = removal_audit._losses, count()
    monkeypatch.setattr(
        removal_audit, "_losses", lambda *asked: really(*asked) * (1 + next(calls) / 1000)
    )
    audit = audit_removal(world.base, world.exact, world.reference, world.rows, ATTACK)
    assert audit.passed
    assert {left.because for left in audit.left_out} == {NOT_REPEATED}
    assert RELEARNED in {left.probe for left in audit.left_out}
    inexact = world.all_but_one_tensor()
    assert not audit_removal(world.base, inexact, world.reference, world.rows, ATTACK).passed


def test_an_altered_file_is_no_question_that_cannot_be_asked(world: World) -> None:
    class Altered(dict[str, torch.Tensor]):
        def __getitem__(self, name: str) -> torch.Tensor:
            raise AlteredError(f"{name} is not the recorded bytes.", remedy="restore it.")

    with pytest.raises(AlteredError):
        audit_removal(world.base, Altered(), world.reference, world.rows, ATTACK)
