"""What opting out, finetuning and keeping cost: `python -m benchmarks.cost --help`.

Every figure is a ratio of two things measured in one run on one machine, so that it means the same
on another. The numbers it was computed from stand beside it.
"""
