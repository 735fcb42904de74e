"""How many threads compute: a number that results may depend on, so settings say it."""

import torch


def use_threads(count: int) -> None:
    """Let torch compute with so many threads from now on, in this process."""
    torch.set_num_threads(count)
