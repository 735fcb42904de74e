"""The ecosystem's own training loop, told to keep quiet, save nothing and be deterministic."""

import gc
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from transformers import (
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback

from sift_core.encoding import Encoded
from sift_core.errors import DataError, ModelError, NonFiniteError
from sift_core.finetune_settings import Precision
from sift_core.foreign_errors import border

_OTHER_SETTINGS = (
    "see what the cause says: where memory is short, lower finetune.batch_size or set "
    "finetune.gradient_checkpointing; else name another base model."
)

_LEFT_BY_ACCELERATE = ("_original_forward", "forward", "_is_accelerate_prepared")
"""The first is there after mixed precision only."""


def train(
    model: PreTrainedModel,
    examples: Encoded,
    optimizer: torch.optim.Optimizer,
    steps: int,
    batch_size: int,
    seed: int,
    max_grad_norm: float = 0.0,
    precision: Precision = "float32",
    gradient_checkpointing: bool = False,
    after_step: Callable[[], None] | None = None,
) -> list[float]:
    """Train in place for `steps` optimizer steps at a constant rate; the loss of every step.

    `batch_size` is that of each process where several train together (`processes`). With `bf16`
    matrix products are taken in bfloat16; weights, gradients and optimizer stay in float32.
    `max_grad_norm` 0 means no clipping. `after_step` may look at the model as each step leaves it.
    Raises NonFiniteError at a NaN or infinite loss, DataError
    where there is nothing to train on or for, ModelError where `precision` was not obeyed.
    """
    if steps < 1 or len(examples) == 0:  # the Trainer would read 0 steps as 3 epochs
        raise DataError(
            f"{steps} steps on {len(examples)} rows is no training.",
            remedy="set the number of steps to 1 or more and give at least one row.",
        )
    with tempfile.TemporaryDirectory(prefix="sift-trainer-") as scratch:
        on_gpu = model.device.type != "cpu"
        arguments = TrainingArguments(
            output_dir=scratch,
            max_steps=steps,
            per_device_train_batch_size=batch_size,
            lr_scheduler_type="constant",
            max_grad_norm=max_grad_norm,
            bf16=precision == "bf16",
            activation_checkpointing=gradient_checkpointing,
            activation_checkpointing_kwargs={"use_reentrant": False},  # frozen layers end the other
            seed=seed,
            use_cpu=not on_gpu,
            full_determinism=on_gpu,  # the CPU kernels that train these models are deterministic
            save_strategy="no",
            logging_steps=1,
            logging_nan_inf_filter=False,
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=on_gpu,
        )
        constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=examples,
            data_collator=examples.collate,
            optimizers=(optimizer, constant),
        )
        trainer.remove_callback(PrinterCallback)
        if after_step is not None:
            trainer.add_callback(_AfterStep(after_step))
        set_seed(seed)
        try:
            with _quick_collections(), border("The base model cannot be trained", _OTHER_SETTINGS):
                trainer.train()
        finally:
            as_told = _take_back(model, precision, gradient_checkpointing)
    if not as_told:
        raise ModelError(
            f"The model was not trained in {precision}.",
            remedy="set finetune.precision to float32; the installed accelerate does not do it.",
        )
    losses = [cast(float, entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    for step, loss in enumerate(losses, start=1):
        if not torch.isfinite(torch.tensor(loss)):
            raise NonFiniteError(
                f"The loss is {loss} at step {step} of {steps}.",
                remedy="lower finetune.learning_rate, or look for broken rows in this "
                "contributor's data.",
            )
    return losses


class _AfterStep(TrainerCallback):  # type: ignore[misc]
    """Calls back once the optimizer has stepped; what is drawn then, the training does not miss."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def on_step_end(self, *_: Any, **__: Any) -> None:
        with torch.random.fork_rng(
            devices=[]
        ):  # a DataLoader draws, also where nothing is shuffled
            self._call()


@contextmanager
def _quick_collections() -> Iterator[None]:
    """Let the garbage collector pass over what is imported and loaded already.

    The Trainer collects at the end of every run, and walking all modules takes half a second: as
    long as a small finetuning itself.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _take_back(model: PreTrainedModel, precision: Precision, gradient_checkpointing: bool) -> bool:
    """Undo what training did to a model, so that it is scored in float32, and trained anew.

    Returns whether it did what `precision` says: accelerate passes over a model that it takes to be
    prepared, without a word.
    """
    if gradient_checkpointing:
        model.activation_checkpointing_disable()
    left = [model.__dict__.pop(name, None) for name in _LEFT_BY_ACCELERATE]
    return (left[0] is not None) == (precision == "bf16")
