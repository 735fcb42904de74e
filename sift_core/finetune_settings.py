"""How contributors are finetuned, as numbers: to be compared and recorded without the method."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bf16"]


@dataclass(frozen=True)
class FinetuneSettings:
    """How every contributor is finetuned. The defaults are the paper's for TOFU."""

    learning_rate: float = 1e-4
    steps: int = 20
    batch_size: int = 20
    full_batch_below: int = 128
    """With fewer sequences than this, each step sees all of them."""
    seed: int = 0
    max_grad_norm: float = 0.0
    precision: Precision = "float32"
    """What matrix products are taken in; θ, gradients and Adam's moments are in float32."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them."""
    processes: int = 1
    """Processes that share each batch of a finetuning: a GPU each, or on the CPU."""
