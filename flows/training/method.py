"""How this package calls the method: its settings, and what of a model trains."""

import sift_core
from flows.workspace.settings import FinetuneSettings, MethodSettings, Settings


def method_settings(ours: FinetuneSettings) -> "sift_core.FinetuneSettings":
    """`finetune` of params.yaml as the method takes it."""
    return sift_core.FinetuneSettings(
        learning_rate=ours.learning_rate,
        steps=ours.steps,
        batch_size=ours.batch_size,
        full_batch_below=ours.full_batch_below,
        seed=ours.seed,
        max_grad_norm=ours.max_grad_norm,
        precision=ours.precision,
        gradient_checkpointing=ours.gradient_checkpointing,
        processes=ours.processes,
    )


def reading(method: MethodSettings) -> "sift_core.Reading":
    """How rows are read, wherever a model learns from them or is asked about them."""
    return sift_core.Reading(method.max_length, method.too_long, method.train_on_turns)


def parameterization(settings: Settings | MethodSettings) -> "sift_core.Parameterization":
    """What of the base model trains: its own weights, or adapters."""
    ours = settings.finetune
    if ours.adapter is None:
        return sift_core.FullWeights(ours.train_only)
    return sift_core.Adapter(
        rank=ours.adapter.rank,
        alpha=ours.adapter.alpha,
        targets=ours.adapter.targets,
        seed=settings.exactness.sign_seed,
        train_only=ours.train_only,
    )
