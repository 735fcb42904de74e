"""How this package calls the method: its settings."""

import sift_core
from flows.workspace.settings import FinetuneSettings


def method_settings(ours: FinetuneSettings) -> sift_core.FinetuneSettings:
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
